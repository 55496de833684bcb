# nodes.exs ROLE: `serve` or `ask`, for perf/elixir/run.sh. What it takes to ask a process of another Erlang node: by GenServer.call over
# distribution, and by apiary; beside GenServer.call within one node. In turns, so that all meet the same machine.
Logger.configure(level: :error)

defmodule Echo do
  use GenServer
  def init(_), do: {:ok, nil}
  def handle_call(term, _from, state), do: {:reply, term, state}
end

defmodule Echo.Queen do
  use Apiary.Queen, service: :echo_service, capabilities: [:echo], concurrency: 1024, max_concurrent_delegations: 1000
  def handle_task(:echo, term, _job), do: {:ok, term}
end

defmodule Held do
  # How long schedulers were held for longer than a ms, by whom.
  def watch do
    me = self()

    spawn_link(fn ->
      :erlang.system_monitor(self(), [{:long_schedule, 1}])
      send(me, :watching)
      loop([])
    end)
    |> tap(fn _ -> receive(do: (:watching -> :ok)) end)
  end

  defp loop(seen) do
    receive do
      {:monitor, _pid, :long_schedule, info} -> loop([info | seen])
      {:tell, pid} -> send(pid, {:held, seen}) && loop(seen)
    end
  end

  def told(watch) do
    send(watch, {:tell, self()})
    receive(do: ({:held, seen} -> seen))
  end

  # Those that were in a function of the NIF when they were put aside.
  def of_nif(seen), do: Enum.filter(seen, fn info -> inspect(info[:in]) =~ "NIF" or inspect(info[:out]) =~ "NIF" end)
end

defmodule Measure do
  def calls(n, fun) do
    for _ <- 1..n do
      began = System.monotonic_time(:nanosecond)
      fun.()
      System.monotonic_time(:nanosecond) - began
    end
  end

  def quantile(list, q), do: list |> Enum.sort() |> Enum.at(trunc(length(list) * q)) |> Kernel./(1000) |> Float.round(1)

  # Tasks per second of `callers` processes.
  def stream(callers, n, fun) do
    {us, _} =
      :timer.tc(fn ->
        1..callers |> Enum.map(fn _ -> Task.async(fn -> for(_ <- 1..n, do: fun.()) end) end) |> Enum.each(&Task.await(&1, :infinity))
      end)

    round(callers * n * 1_000_000 / us)
  end

  def batches(n, size) do
    {us, _} =
      :timer.tc(fn ->
        for _ <- 1..n do
          tasks = for _ <- 1..size, do: Apiary.delegate!(:echo, :x, content: :term)
          Enum.each(tasks, &({:ok, :x} = Apiary.await(&1)))
        end
      end)

    round(n * size * 1_000_000 / us)
  end
end

case System.argv() do
  ["serve"] ->
    {:ok, _} = GenServer.start_link(Echo, nil, name: Echo)
    {:ok, _} = Echo.Queen.start_link()
    held = Held.watch()
    :global.register_name(:held, held)
    IO.puts("serving")
    Process.sleep(:infinity)

  ["ask", other] ->
    other = String.to_atom(other)
    true = Node.connect(other)
    :ok = :global.sync()
    {:ok, own} = GenServer.start_link(Echo, nil)
    {:ok, _} = Apiary.attach(swarm: "asking")
    held = Held.watch()

    ways = [
      {"GenServer.call within one node", fn -> :x = GenServer.call(own, :x) end},
      {"GenServer.call between two nodes", fn -> :x = GenServer.call({Echo, other}, :x) end},
      {"Apiary.call between two nodes", fn -> {:ok, :x} = Apiary.call(:echo, :x, content: :term) end},
      {"Apiary.call, spin 50 us", fn -> {:ok, :x} = Apiary.call(:echo, :x, content: :term, spin: 50) end}
    ]

    for {_, fun} <- ways, do: Measure.calls(2000, fun)
    rounds = for _ <- 1..5, {name, fun} <- ways, do: {name, Measure.calls(2000, fun)}

    for {name, _} <- ways do
      all = for {^name, times} <- rounds, t <- times, do: t
      IO.puts("#{String.pad_trailing(name, 36)} p50 #{Measure.quantile(all, 0.5)} us, p99 #{Measure.quantile(all, 0.99)} us")
    end

    for _ <- 1..3 do
      for {name, fun} <- ways, do: IO.puts("#{String.pad_trailing(name, 36)} 64 callers: #{Measure.stream(64, 300, fun)} a second")
      IO.puts("#{String.pad_trailing("Apiary.delegate, 64 at once", 36)} 1 caller: #{Measure.batches(300, 64)} a second")
    end

    mine = Held.told(held)
    theirs = Held.told(:global.whereis_name(:held))

    for {who, seen} <- [{"the asking node", mine}, {"the serving node", theirs}] do
      IO.puts("held for over 1 ms in #{who}: #{length(seen)} times, #{length(Held.of_nif(seen))} of them in the NIF")
      seen |> Held.of_nif() |> Enum.take(3) |> Enum.each(&IO.inspect/1)
    end

    System.halt(0)
end
