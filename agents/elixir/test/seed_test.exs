defmodule Apiary.SeedTest do
  # The samples of the design that this project began with, as they stand there.
  use ExUnit.Case
  alias Apiary.Error

  @configuration ~S"""
  import Config
  # config/swarm_config.exs
  config :singularity_engine, :meta_registry,
    port: 4100,
    max_concurrent_delegations: 100,
    health_check_interval: 30_000,
    task_timeout: 60_000

  config :singularity_engine, :swarms, %{
    ai_service: %{
      queen: AiService.Swarm.Queen,
      agents: [:model_selector, :provider_manager, :optimizer, :cache],
      port: 4000,
      capabilities: [:llm_routing, :model_management, :response_optimization]
    },
    storage_service: %{
      queen: StorageService.Swarm.Queen,
      agents: [:consistency, :backup, :query_optimizer, :cache_manager],
      port: 4104,
      capabilities: [:data_persistence, :file_management, :backup]
    },
    business_service: %{
      queen: BusinessService.Swarm.Queen,
      agents: [:workflow, :decision, :compliance, :rules],
      port: 4002,
      capabilities: [:workflow_execution, :decision_making, :compliance]
    }
    # ... other services
  }
  """

  # What the three services do is theirs.
  for service <- [AiService, StorageService, BusinessService] do
    defmodule Module.concat([service, Swarm, Queen]) do
      use Apiary.Queen, instance: "seed"

      @impl true
      def handle_task(capability, task, job), do: {:ok, {capability, task, job.caller}}
    end
  end

  alias SingularityEngine.{Config, MetaRegistry}

  setup_all do
    config = Elixir.Config.Reader.eval!("swarm_config.exs", @configuration)
    Application.put_all_env(config)
    start_supervised!(SingularityEngine.Swarms)
    :ok
  end

  test "the configuration" do
    assert {:ok, %{meta_registry: %{port: 4100, task_timeout: 60_000}, swarms: %{ai_service: %{port: 4000}}}} = Config.read()
    assert {:ok, [%{port: 4104, agents: 4, max_delegations: 100}]} = status("storage_service")
    assert {:ok, providers} = Apiary.discover(:llm_routing)

    assert ~w(cache model_selector optimizer provider_manager) =
             for(%{instance: "seed"} = p <- providers, do: p.agent) |> Enum.sort()
  end

  defp status(service) do
    with {:ok, rows} <- Apiary.swarm_status(service), do: {:ok, Enum.filter(rows, &(&1.instance == "seed"))}
  end

  test "the three calls" do
    queen_pid = GenServer.whereis(AiService.Swarm.Queen)
    assert :ok = MetaRegistry.register_swarm(:ai_service, queen_pid, [:llm_routing, :model_management, :response_optimization])
    task = %{prompt: "hello", tokens: 5}
    assert {:ok, {:data_persistence, ^task, "ai_service"}} = MetaRegistry.delegate_task(:ai_service, :data_persistence, task)
    assert {:ok, [%{service: :business_service} | _]} = MetaRegistry.discover_service(:decision_making)
    assert {:error, %Error{name: :enocap}} = MetaRegistry.discover_service(:nobody_offers_this)
  end

  test "the same as calls of the process" do
    assert {:ok, [%{service: :ai_service} | _]} = GenServer.call(MetaRegistry, {:discover_service, :llm_routing})
    assert {:ok, {:backup, 1, "core_service"}} = GenServer.call(MetaRegistry, {:delegate_task, :core_service, :backup, 1})
  end

  test "the registration record" do
    assert :ok =
             MetaRegistry.register_swarm(%{
               service: :ai_service,
               capabilities: [:llm_routing, :model_management, :response_optimization],
               swarm_queen: AiService.Swarm.Queen,
               health_endpoint: "http://localhost:4000/health",
               metrics_endpoint: "http://localhost:4000/metrics"
             })

    assert {:error, %Error{name: :einval, message: text}} =
             MetaRegistry.register_swarm(:ai_service, AiService.Swarm.Queen, [:other])

    assert text =~ "other"
    assert {:error, %Error{name: :einval}} = MetaRegistry.register_swarm(:ai_service, NoSuch.Queen, [:llm_routing])
  end

  test "the template of a queen" do
    alias SingularityEngine.Swarm.QueenTemplate
    queen_pid = GenServer.whereis(StorageService.Swarm.Queen)
    assert {:ok, {:backup, :now, "storage_service"}} = QueenTemplate.execute_task(queen_pid, {:backup, :now})

    assert {:ok, {:compliance, %{a: 1}, "storage_service"}} =
             QueenTemplate.delegate_external_task(queen_pid, :compliance, %{a: 1})

    assert {:ok, %{state: :passing, service: "storage_service"}} = QueenTemplate.get_swarm_status(queen_pid)
  end

  defmodule Template do
    # A queen that a service has written after the template, with nothing of apiary.
    use GenServer

    defstruct [:service_name, :worker_pool, :local_memory, :meta_registry_connection, :specialized_agents, :health_monitor]

    def init(service), do: {:ok, %__MODULE__{service_name: service}}
    def handle_call({:execute_task, task}, _from, state), do: {:reply, {:ok, {state.service_name, task}}, state}
  end

  test "a process as the template has it is registered, and its end is that of the registration" do
    {:ok, queen_pid} = GenServer.start(Template, :hex_server)
    assert :ok = MetaRegistry.register_swarm(:hex_server, queen_pid, [:seed_packages])
    assert {:ok, {:hex_server, "apiary"}} = MetaRegistry.delegate_task(:ai_service, :seed_packages, "apiary")
    GenServer.stop(queen_pid)

    Apiary.Test.until(fn ->
      match?({:error, %Error{name: :enoprovider}}, MetaRegistry.delegate_task(:ai_service, :seed_packages, 1))
    end)
  end

  test "what is wrong in a configuration is told in full" do
    swarm = %{queen: A.Queen, agents: [:a], port: 1, capabilities: [:c]}

    assert {:error, wrong} =
             Config.judge([port: 0, no_such: 1], %{a: Map.put(swarm, :agents, []), b: Map.put(swarm, :extra, 1), c: :what})

    for text <- [
          "port is 0",
          "no key :no_such",
          "a: agents",
          "b: there is no key :extra",
          "c: :what is no map",
          "have the same port 1"
        ] do
      assert Enum.any?(wrong, &(&1 =~ text)), text
    end

    assert {:error, ["swarms: 1 is no map of services"]} = Config.judge([], 1)
  end
end
