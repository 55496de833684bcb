defmodule SingularityEngine.Config do
  @moduledoc """
  The configuration of the Singularity Engine: `config :singularity_engine, :meta_registry, ...` and
  `config :singularity_engine, :swarms, %{service: %{queen: _, agents: _, port: _, capabilities: _}}`.

  Of `:meta_registry`, `task_timeout` (ms) bounds what is delegated, `max_concurrent_delegations` is each swarm's, and
  `health_check_interval` (ms) is asked of the coordinator for each. `port` is that of the coordinator's HTTP, which has it from its own
  configuration.
  """

  @meta [
    port: {1, 65_535},
    max_concurrent_delegations: {1, 65_535},
    health_check_interval: {1, 86_400_000},
    task_timeout: {1, 86_400_000}
  ]
  @swarm [:queen, :agents, :port, :capabilities]

  @doc "What is configured: `{:ok, %{meta_registry: _, swarms: _}}`, or each thing that is wrong."
  @spec read() :: {:ok, map} | {:error, [String.t()]}
  def read do
    judge(
      Application.get_env(:singularity_engine, :meta_registry, []),
      Application.get_env(:singularity_engine, :swarms, %{})
    )
  end

  @doc "The configured task_timeout in ms, 60,000 unless configured."
  def task_timeout, do: Application.get_env(:singularity_engine, :meta_registry, [])[:task_timeout] || 60_000

  @doc "The same for values that are given."
  @spec judge(keyword, map) :: {:ok, map} | {:error, [String.t()]}
  def judge(meta, swarms) do
    case meta(meta) ++ swarms(swarms) do
      [] -> {:ok, %{meta_registry: Map.new(meta), swarms: swarms}}
      wrong -> {:error, wrong}
    end
  end

  defp meta(meta) do
    for {key, value} <- meta, text = meta(key, value), do: text
  end

  defp meta(key, value) do
    case @meta[key] do
      nil -> "meta_registry: there is no key #{inspect(key)}"
      {least, most} when is_integer(value) and value >= least and value <= most -> nil
      {least, most} -> "meta_registry: #{key} is #{inspect(value)}, not a whole number from #{least} to #{most}"
    end
  end

  defp swarms(swarms) when is_map(swarms) do
    Enum.flat_map(swarms, fn {service, swarm} -> Enum.map(swarm(swarm), &"#{service}: #{&1}") end) ++ ports(swarms)
  end

  defp swarms(other), do: ["swarms: #{inspect(other, limit: 3)} is no map of services"]

  defp ports(swarms) do
    for {port, [_, _ | _] = of} <- Enum.group_by(swarms, fn {_, s} -> is_map(s) && s[:port] end, &elem(&1, 0)),
        is_integer(port) do
      "#{Enum.join(of, " and ")} have the same port #{port}"
    end
  end

  defp swarm(%{} = swarm) do
    unknown = for {key, _} <- swarm, key not in @swarm, do: "there is no key #{inspect(key)}"

    unknown ++
      wrong(is_atom(swarm[:queen]) and swarm[:queen] != nil, "queen is to be a module") ++
      wrong(names?(swarm[:agents]), "agents is to be a list of names") ++
      wrong(names?(swarm[:capabilities]), "capabilities is to be a list of names") ++
      wrong(swarm[:port] in 1..65_535, "port is to be a number from 1 to 65535")
  end

  defp swarm(other), do: ["#{inspect(other, limit: 3)} is no map"]

  defp wrong(true, _), do: []
  defp wrong(false, text), do: [text]

  defp names?([_ | _] = list), do: Enum.all?(list, &is_atom/1) and Enum.uniq(list) == list
  defp names?(_), do: false
end

defmodule SingularityEngine.Swarms do
  @moduledoc """
  A supervisor of the configured swarms whose queens are modules of this node: `{SingularityEngine.Swarms, []}` among the children of an
  application. `only: [:ai_service]` starts some of them. A configuration that is wrong, or a queen that does not `use Apiary.Queen`, is
  told at the start, in full.
  """
  use Supervisor

  def start_link(options \\ []), do: Supervisor.start_link(__MODULE__, options)

  @impl true
  def init(options) do
    case SingularityEngine.Config.read() do
      {:ok, config} -> Supervisor.init(children(config, options), strategy: :one_for_one)
      {:error, wrong} -> raise ArgumentError, "config :singularity_engine is wrong: " <> Enum.join(wrong, "; ")
    end
  end

  defp children(%{meta_registry: meta, swarms: swarms}, options) do
    for {service, swarm} <- swarms, options[:only] == nil or service in options[:only] do
      unless Code.ensure_loaded?(swarm.queen) and function_exported?(swarm.queen, :__apiary_queen__, 0) do
        raise ArgumentError, "#{service}: #{inspect(swarm.queen)} is no module that uses Apiary.Queen"
      end

      more = meta |> Map.take([:max_concurrent_delegations, :health_check_interval, :task_timeout]) |> Map.to_list()
      given = [service: service, port: swarm.port, capabilities: swarm.capabilities, agents: swarm.agents]
      Supervisor.child_spec({swarm.queen, given ++ more}, id: service)
    end
  end
end
