# elixir_many.exs COUNT: sixteen processes that each do so much at random, side by side: call, cancel, ask to be told and forget, claim and
# wait for a claim, attach and detach, and die with a task. Says "done" if no result was another's.
[count] = Enum.map(System.argv(), &String.to_integer/1)
Logger.configure(level: :error)

defmodule Many.Queen do
  use Apiary.Queen, service: :many_service, capabilities: [:many], concurrency: 64

  @impl true
  def handle_task(:many, n, _job), do: {:ok, n}
end

defmodule Many do
  def one(1, i, _) do
    pid = spawn(fn -> Apiary.delegate(:many, i, content: :term) && receive(do: (:never -> :ok)) end)
    Process.exit(pid, :kill)
    :ok
  end

  def one(2, i, _) do
    with {:ok, task} <- Apiary.delegate(:many, i, content: :term), :ok <- Apiary.cancel(task), do: checked(Apiary.await(task), i)
  end

  def one(3, i, _) do
    with {:ok, task} <- Apiary.delegate(:many, i, content: :term), do: Apiary.notify(task)
  end

  def one(4, i, _), do: released(Apiary.claim("many.#{rem(i, 5)}", 10_000))
  def one(5, _, _), do: released(Apiary.claim("many.waited", 10_000, policy: :wait))

  def one(6, i, process) do
    name = {process, i}
    {:ok, _} = Apiary.attach(as: name)
    checked(Apiary.call(:many, i, handle: name, content: :term), i)
    Apiary.detach(name)
  end

  def one(_, i, _), do: checked(Apiary.call(:many, i, content: :term), i)

  defp released({:ok, claim}), do: :ok = Apiary.release(claim)
  defp released({:error, %{name: :eheld}}), do: :ok

  defp checked({:ok, i}, i), do: :ok
  defp checked({:error, %{name: :ecancelled}}, _), do: :ok
  defp checked({:error, %{retry_after: ms}}, _) when ms > 0, do: :ok
end

{:ok, _} = Many.Queen.start_link()
{:ok, _} = Apiary.attach(swarm: "many_callers")
seed = :rand.uniform(1_000_000)
IO.puts("seed #{seed}")

1..16
|> Enum.map(fn process ->
  Task.async(fn ->
    :rand.seed(:exsss, {seed, process, 0})
    for i <- 1..count, do: Many.one(:rand.uniform(10), i, process)
    :ok
  end)
end)
|> Enum.each(&(:ok = Task.await(&1, :infinity)))

IO.puts("done")
# What processes had that have ended is collected while the node lives.
receive do
  :never -> :ok
end
