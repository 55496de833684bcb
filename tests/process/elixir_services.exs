# elixir_services.exs INSTANCE: the thirteen services as queens of this node, until it is killed or told to stop. Each has agents with
# what it takes to be awkward: one that loops, one that raises, one that is slow.
[instance] = System.argv()
Logger.configure(level: :error)

services = ~w(ai architecture business core execution infra interface storage swarm ml tools hex security)

defmodule Services.Queen do
  use Apiary.Queen, concurrency: 16, max_concurrent_delegations: 1000

  @impl true
  def handle_task(_capability, {:work, n}, job) do
    # LINT: that is its work: some hold their process for a while, so that a kill meets tasks in hand.
    if rem(n, 7) == 0, do: Process.sleep(20)
    {:ok, {n * n, job.attempt}}
  end

  def handle_task(_capability, :loop, job), do: handle_task(nil, :loop, job)
  def handle_task(_capability, :raise, _job), do: raise("as it was told to")
  def handle_task(_capability, :kill, _job), do: Process.exit(self(), :kill)

  def handle_task(_capability, {:next, [next | rest], n}, job) do
    task = if rest == [], do: {:work, n}, else: {:next, rest, n}
    Apiary.Job.call(job, next, task)
  end
end

children =
  for service <- services do
    options = [service: "#{service}_service", instance: instance, capabilities: ["#{service}.work"], as: nil]
    Supervisor.child_spec({Services.Queen, options}, id: service)
  end

{:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)

System.trap_signal(:sigterm, fn ->
  Supervisor.stop(supervisor)
  System.halt(0)
end)

IO.puts("all of #{instance} are registered")
# the queens are linked to this process
Process.sleep(:infinity)
