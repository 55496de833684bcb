defmodule Apiary.Queen.Server do
  @moduledoc false
  # The process of a queen: her handle, her agents' processes, and what is asked of her. It waits for nobody: what is delegated comes
  # back as a message.
  use GenServer
  require Logger
  alias Apiary.{Agent, Content, Error, Handle, NIF, Options}

  # As the seed names a queen's parts.
  defstruct [
    :service_name,
    :worker_pool,
    :local_memory,
    :meta_registry_connection,
    :specialized_agents,
    :health_monitor,
    :options,
    :queen,
    asked: %{}
  ]

  @impl true
  def init({module, options}) do
    Process.flag(:trap_exit, true)
    service = Apiary.text(Keyword.fetch!(options, :service))
    instance = to_string(Keyword.get(options, :instance, "0"))
    handle_name = {__MODULE__, service, instance, self()}
    attach = [as: handle_name, kind: :queen, swarm: service, name: options[:name] || service, segment: options[:segment]]

    with {:ok, _} <- Apiary.attach(attach),
         handle = Handle.get(handle_name),
         agents = agents(module, options, service, handle),
         {:ok, queen} <- Error.wrap(NIF.queen_start(handle, description(service, instance, options, agents), self())),
         :ok <- declare(handle, agents),
         {:ok, memory} <- Error.wrap(NIF.memory_open(handle, service, true)) do
      offered = for a <- agents, c <- a.capabilities, do: to_string(c)
      {:ok, _} = Registry.register(Apiary.Names, {:queen, self()}, {service, offered})

      {:ok,
       %__MODULE__{
         service_name: service,
         worker_pool: Map.new(agents, &{&1.pid, &1}),
         local_memory: memory,
         meta_registry_connection: handle_name,
         specialized_agents: Enum.map(agents, & &1.name),
         health_monitor: instance,
         options: options,
         queen: queen
       }}
    else
      {:error, %Error{} = error} ->
        Apiary.detach(handle_name)
        {:stop, {:shutdown, error}}
    end
  end

  # ---- her agents

  defp agents(module, options, service, handle) do
    for spec <- specs(module, options, service) do
      spec = Map.merge(spec, %{service: service, handle: handle})
      {:ok, pid} = Agent.Server.start_link(spec)
      Map.merge(spec, %{pid: pid, resource: NIF.agent_new(spec.concurrency, pid)})
    end
  end

  defp specs(module, options, service) do
    modules = Keyword.get(options, :modules, [])

    for name <- Keyword.get(options, :agents, []) |> default(service) do
      agent = Keyword.get(modules, name, name)

      if Code.ensure_loaded?(agent) and function_exported?(agent, :__apiary_agent__, 0) do
        agent.__apiary_agent__()
      else
        Agent.spec(Keyword.get(options, :handler, module), [{:name, agent} | options])
      end
    end
  end

  defp default([], service), do: [String.to_atom(service)]
  defp default(agents, _), do: agents

  defp declare(handle, agents) do
    for(agent <- agents, capability <- agent.capabilities, do: Content.declare(handle, bare(capability), agent.content))
    |> Enum.find(:ok, &(&1 != :ok))
  end

  defp bare(capability), do: to_string(capability)

  defp description(service, instance, options, agents) do
    texts = [
      service,
      instance,
      Apiary.text(options[:version]),
      options[:health_endpoint],
      options[:metrics_endpoint],
      Apiary.text(options[:tags]),
      options[:state_directory]
    ]

    workers = Keyword.get(options, :workers, 1)

    rows =
      for {a, i} <- Enum.with_index(agents) do
        {a.resource, a.name, Enum.map(a.capabilities, &to_string/1), rem(i, workers), Agent.terms(a.terms)}
      end

    {texts, options[:port] || 0, workers, Keyword.get(options, :max_concurrent_delegations, 100),
     Keyword.get(options, :weight, 0), rows, (options[:health_check_interval] || 0) * 1_000_000}
  end

  # ---- what is asked of her

  @impl true
  def handle_call({:execute_task, task}, from, state) do
    case target(task, state) do
      {:ok, capability, body} -> ask(capability, body, true, from, state)
      {:error, _} = error -> {:reply, error, state}
    end
  end

  def handle_call({:delegate_external, capability, task}, from, state) do
    ask(to_string(capability), task, false, from, state)
  end

  def handle_call(:get_status, _from, state) do
    mine = fn row -> row.instance == state.health_monitor end

    reply =
      with {:ok, rows} <- Apiary.swarm_status(state.service_name, handle: state.meta_registry_connection) do
        {:ok, Map.put(Enum.find(rows, %{service: state.service_name}, mine), :specialized_agents, state.specialized_agents)}
      end

    {:reply, reply, state}
  end

  defp target({capability, body}, _) when is_atom(capability) or is_binary(capability), do: {:ok, to_string(capability), body}
  defp target(%{capability: capability, payload: body}, _), do: {:ok, to_string(capability), body}
  defp target(%{capability: capability} = task, _), do: {:ok, to_string(capability), Map.delete(task, :capability)}

  defp target(task, state) do
    case capabilities(state) do
      [one] -> {:ok, one, task}
      many -> {:error, Error.new(:einval, "the task names none of the capabilities #{Enum.join(many, ", ")}")}
    end
  end

  defp capabilities(state) do
    for {_, agent} <- state.worker_pool, capability <- agent.capabilities, uniq: true, do: to_string(capability)
  end

  defp ask(capability, body, local, from, state) do
    handle = Handle.get(state.meta_registry_connection)
    content = Content.of(handle, capability, body)
    options = if time = state.options[:task_timeout], do: Options.encode(timeout: time), else: []
    [%{resource: agent} | _] = Map.values(state.worker_pool)
    ref = make_ref()

    with {:ok, bytes} <- Content.encode(content, body),
         :ok <- Error.wrap(NIF.agent_delegate(agent, capability, bytes, options, ref, local)) do
      {:noreply, %{state | asked: Map.put(state.asked, ref, {from, content})}}
    else
      error -> {:reply, error, state}
    end
  end

  @impl true
  def handle_info({:apiary_done, ref, result}, state) do
    {{from, content}, asked} = Map.pop!(state.asked, ref)

    reply =
      case result do
        {:ok, bytes} -> Content.decode(content, bytes)
        error -> Error.wrap(error)
      end

    GenServer.reply(from, reply)
    {:noreply, %{state | asked: asked}}
  end

  # An agent's process is started again, and has the tasks from then on.
  def handle_info({:EXIT, pid, reason}, state) do
    case Map.pop(state.worker_pool, pid) do
      {nil, _} ->
        if reason == :normal, do: {:noreply, state}, else: {:stop, reason, state}

      {agent, pool} ->
        Logger.error("the process of agent #{agent.name} of #{state.service_name} has ended: " <> Exception.format_exit(reason))
        {:ok, new} = Agent.Server.start_link(Map.drop(agent, [:pid, :resource]))
        :ok = NIF.agent_bind(agent.resource, new)
        {:noreply, %{state | worker_pool: Map.put(pool, new, %{agent | pid: new})}}
    end
  end

  def handle_info({:apiary_log, level, line}, state) do
    Logger.log(level(level), line)
    {:noreply, state}
  end

  def handle_info(_, state), do: {:noreply, state}

  defp level(level) when level <= 3, do: :error
  defp level(4), do: :warning
  defp level(level) when level <= 6, do: :info
  defp level(_), do: :debug

  @impl true
  def terminate(_reason, state) do
    NIF.queen_stop(state.queen, Keyword.get(state.options, :patience, 5000) * 1_000_000)
    Apiary.detach(state.meta_registry_connection)
  end
end
