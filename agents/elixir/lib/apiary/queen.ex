defmodule Apiary.Queen do
  @moduledoc """
  A queen of this node: a registered instance of a service, whose agents are modules.

      defmodule Greeter.Queen do
        use Apiary.Queen, service: :greeter, capabilities: [:greet]

        @impl true
        def handle_task(:greet, name, _job), do: {:ok, "hello, \#{name}"}
      end

  Started as a child of a supervisor, `{Greeter.Queen, options}` or `Greeter.Queen`. Options, of `use` and of the child, the latter
  first:

    * `service`, `instance` ("0"), `version`, `port`, `health_endpoint`, `metrics_endpoint`, `tags`, `weight`
    * `agents`: modules that `use Apiary.Agent`, or names of agents whose tasks the queen's own `handle_task/3` handles. None: one of the
      service's name
    * `modules`: for names among the agents, the modules that handle their tasks, `[model_selector: AiService.ModelSelector]`
    * `capabilities`: of the agents that are only names
    * `concurrency`, `content`, `terms`, `grace`: of these, as in `Apiary.Agent`
    * `workers` (threads that hand tasks over; 1), `max_concurrent_delegations` (100), `health_check_interval` (ms), `segment`

  Her end as a process is that of the instance: tasks in hand are finished, for `patience` ms at most (5000).
  """
  alias Apiary.Queen.Server

  @callback handle_task(capability :: atom | String.t(), body :: term, job :: Apiary.Job.t()) ::
              {:ok, term} | {:error, term} | {:error, pos_integer, term} | {:retry, non_neg_integer, term} | {:stop, term}
  @optional_callbacks handle_task: 3

  defmacro __using__(options) do
    quote do
      @behaviour Apiary.Queen

      @doc false
      def __apiary_queen__, do: unquote(options)

      def child_spec(options) do
        %{id: __MODULE__, start: {__MODULE__, :start_link, [options]}, shutdown: 15_000}
      end

      def start_link(options \\ []), do: Apiary.Queen.start_link(__MODULE__, options)

      defoverridable child_spec: 1, start_link: 1
    end
  end

  @doc false
  def start_link(module, options) do
    options = Keyword.merge(module.__apiary_queen__(), options)
    name = Keyword.get(options, :as, module)

    case GenServer.start_link(Server, {module, options}, if(name, do: [name: name], else: [])) do
      {:error, {:shutdown, %Apiary.Error{} = error}} -> {:error, error}
      started -> started
    end
  end

  @doc """
  Has a task done in this swarm: `{:ok, result}` or `{:error, %Apiary.Error{}}`. `task`: `{capability, body}`, a map with `capability` and
  `payload` (or the body's keys beside it), or, of a queen with one capability, the body.
  """
  @spec execute_task(GenServer.server(), term) :: Apiary.result()
  def execute_task(queen, task), do: GenServer.call(queen, {:execute_task, task}, :infinity)

  @doc "Has a task done by the best provider anywhere."
  @spec delegate_external_task(GenServer.server(), String.t() | atom, term) :: Apiary.result()
  def delegate_external_task(queen, capability, task),
    do: GenServer.call(queen, {:delegate_external, capability, task}, :infinity)

  @doc "What the segment and this node know of her swarm: a map with `service`, `state`, `queued`, `running`, `agents` ..."
  @spec get_swarm_status(GenServer.server()) :: {:ok, map} | {:error, Apiary.Error.t()}
  def get_swarm_status(queen), do: GenServer.call(queen, :get_status)
end
