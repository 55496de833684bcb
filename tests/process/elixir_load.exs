# elixir_load.exs COUNT CALLERS: so many tasks over all thirteen services from each of so many processes, 32 at once of each; says "half"
# in the middle, and at the end what came of them. A task that is refused because of load, or for want of a provider, is asked again.
[count, callers] = Enum.map(System.argv(), &String.to_integer/1)
Logger.configure(level: :error)
{:ok, _} = Apiary.attach(swarm: "load_service", name: "load")

services = ~w(ai architecture business core execution infra interface storage swarm ml tools hex security)
capabilities = Enum.map(services, &(&1 <> ".work"))

defmodule Load do
  def delegate(capability, body) do
    case Apiary.delegate(capability, body, content: :term, timeout: 300_000, wait_for_provider: true) do
      {:ok, task} -> task
      {:error, %{retry_after: ms}} when ms > 0 -> Process.sleep(ms) && delegate(capability, body)
    end
  end

  # The result, and how many starts it took; all else is told.
  def result({n, task}) do
    case Apiary.await(task) do
      {:ok, {square, attempt}} when square == n * n -> {:done, attempt}
      other -> {:other, n, other}
    end
  end
end

results =
  1..callers
  |> Enum.map(fn caller ->
    Task.async(fn ->
      1..count
      |> Enum.chunk_every(32)
      |> Enum.flat_map(fn ns ->
        if caller == 1 and Enum.any?(ns, &(&1 == div(count, 2))), do: IO.puts("half")

        ns
        |> Enum.map(fn n ->
          capability = Enum.at(capabilities, rem(n + caller, 13))
          others = Enum.take(Enum.shuffle(capabilities), 2)
          {n, Load.delegate(capability, if(rem(n, 11) == 0, do: {:next, others, n}, else: {:work, n}))}
        end)
        |> Enum.map(&Load.result/1)
      end)
    end)
  end)
  |> Enum.flat_map(&Task.await(&1, :infinity))

done = for {:done, attempt} <- results, do: attempt
again = Enum.count(done, &(&1 > 1))
for other <- results, elem(other, 0) == :other, do: IO.inspect(other, limit: 10)
IO.puts("#{length(results)} asked, #{length(done)} done, #{again} of them started again")
System.halt(0)
