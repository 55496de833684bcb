defmodule SingularityEngine.MetaRegistry do
  @moduledoc """
  The coordination layer between swarms, by the names of the Singularity Engine. The registry itself is the segment: this process keeps
  only what was registered from this node.

    * `register_swarm(service, queen, capabilities)`: the queen's service is found under these capabilities. A queen that `use`s
      `Apiary.Queen` has registered herself; then it is judged whether she offers them. Any other process that answers
      `{:execute_task, task}`, as the template of a queen does, is registered as she is: what comes is given to her by
      `GenServer.call/3`. Her end is that of the registration.
    * `delegate_task(from_service, capability, task)`: `{:ok, result}` or `{:error, %Apiary.Error{}}`. `from_service` is the calling
      service, whose bulkhead it counts for.
    * `discover_service(capability)`: `{:ok, [%{service: _, instance: _, agent: _, alive: _, ...}]}`.

  These are also calls of the process: `GenServer.call(SingularityEngine.MetaRegistry, {:delegate_task, from, capability, task})`.
  """
  use GenServer
  alias Apiary.Error

  defstruct [:swarm_registry, :capability_index, :task_routing_table, :health_status, :global_memory]

  def start_link(_options), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "Registers a swarm; `queen_pid` may be a name, too."
  @spec register_swarm(atom, GenServer.server(), [atom]) :: :ok | {:error, Error.t()}
  def register_swarm(service, queen_pid, capabilities) do
    GenServer.call(__MODULE__, {:register_swarm, service, queen_pid, capabilities}, 30_000)
  end

  @doc "Registers a swarm by a record with `service`, `capabilities`, `swarm_queen` and, if it has them, its endpoints."
  @spec register_swarm(map) :: :ok | {:error, Error.t()}
  def register_swarm(%{service: service, capabilities: capabilities, swarm_queen: queen} = record) do
    options = record |> Map.take([:health_endpoint, :metrics_endpoint]) |> Map.to_list()
    GenServer.call(__MODULE__, {:register_swarm, service, queen, capabilities, options}, 30_000)
  end

  @doc "Has a task done by the best provider of a capability, for a service."
  @spec delegate_task(atom, atom, term) :: Apiary.result()
  def delegate_task(from_service, capability_needed, task) do
    handle = {__MODULE__, from_service}

    with {:ok, _} <- attached(handle, from_service) do
      Apiary.call(capability_needed, task, handle: handle, timeout: SingularityEngine.Config.task_timeout())
    end
  end

  defp attached(handle, service) do
    if Apiary.Handle.get(handle), do: {:ok, handle}, else: Apiary.attach(as: handle, swarm: service, name: service)
  end

  @doc "Who offers a capability."
  @spec discover_service(atom) :: {:ok, [map]} | {:error, Error.t()}
  def discover_service(capability) do
    with {:ok, providers} <- Apiary.discover(capability) do
      {:ok, Enum.map(providers, &Map.update!(&1, :service, fn name -> service(name) end))}
    end
  end

  # The atom that a service has in this node, or its text: nothing from outside makes atoms.
  defp service(name) do
    String.to_existing_atom(name)
  rescue
    ArgumentError -> name
  end

  # ---- the process

  @impl true
  def init(_) do
    Process.flag(:trap_exit, true)
    {:ok, %__MODULE__{swarm_registry: %{}, capability_index: %{}}}
  end

  @impl true
  def handle_call({:register_swarm, service, queen, capabilities}, from, state) do
    handle_call({:register_swarm, service, queen, capabilities, []}, from, state)
  end

  def handle_call({:register_swarm, service, queen, capabilities, options}, _from, state) do
    case GenServer.whereis(queen) do
      pid when is_pid(pid) -> register(service, pid, capabilities, options, state)
      _ -> {:reply, {:error, Error.new(:einval, "no process is #{inspect(queen)}")}, state}
    end
  end

  def handle_call({:delegate_task, from_service, capability, task}, from, state) do
    spawn(fn -> GenServer.reply(from, delegate_task(from_service, capability, task)) end)
    {:noreply, state}
  end

  def handle_call({:discover_service, capability}, from, state) do
    spawn(fn -> GenServer.reply(from, discover_service(capability)) end)
    {:noreply, state}
  end

  defp register(service, pid, capabilities, options, state) do
    case own(service, pid, capabilities) do
      :proxy -> proxy(service, pid, capabilities, options, state)
      reply -> {:reply, reply, index(reply, service, pid, capabilities, state)}
    end
  end

  # A queen of this application is registered already.
  defp own(service, pid, capabilities) do
    case Registry.lookup(Apiary.Names, {:queen, pid}) do
      [{_, {registered, offered}}] ->
        missing = Enum.map(capabilities, &to_string/1) -- offered

        cond do
          registered != to_string(service) -> {:error, Error.new(:einval, "that queen is one of #{registered}")}
          missing != [] -> {:error, Error.new(:einval, "her agents do not offer #{Enum.join(missing, ", ")}")}
          true -> :ok
        end

      [] ->
        :proxy
    end
  end

  defp proxy(service, pid, capabilities, options, state) do
    options = [service: service, capabilities: capabilities, as: nil, handler: {SingularityEngine.Proxy, pid}] ++ options

    case Apiary.Queen.start_link(SingularityEngine.Proxy, options) do
      {:ok, proxy} ->
        Process.monitor(pid)
        {:reply, :ok, index(:ok, service, pid, capabilities, put_in(state.swarm_registry[pid], {service, proxy}))}

      {:error, %Error{} = error} ->
        {:reply, {:error, error}, state}
    end
  end

  defp index(:ok, service, _pid, capabilities, state) do
    %{
      state
      | capability_index:
          Enum.reduce(capabilities, state.capability_index, &Map.update(&2, &1, [service], fn s -> [service | s] end))
    }
  end

  defp index(_, _, _, _, state), do: state

  @impl true
  def handle_info({:DOWN, _, :process, pid, _reason}, state) do
    case Map.pop(state.swarm_registry, pid) do
      {{service, proxy}, swarms} ->
        spawn(fn -> GenServer.stop(proxy) end)
        index = Map.new(state.capability_index, fn {capability, services} -> {capability, services -- [service]} end)
        {:noreply, %{state | swarm_registry: swarms, capability_index: index}}

      {nil, _} ->
        {:noreply, state}
    end
  end

  def handle_info(_, state), do: {:noreply, state}
end

defmodule SingularityEngine.Proxy do
  @moduledoc false
  # Stands in the segment for a queen that is a process as the template has it.
  use Apiary.Queen

  def handle_task(pid, _capability, task, job) do
    case GenServer.call(pid, {:execute_task, task}, Apiary.Job.time_left(job)) do
      {:ok, result} -> {:ok, result}
      {:error, reason} -> {:error, reason}
      result -> {:ok, result}
    end
  end
end
