# tests/process/elixir.sh starts the segment and its C agents; by hand, `apiary up` with the configuration that stands there does.
unless System.get_env("APIARY_SEGMENT"), do: raise("run it by tests/process/elixir.sh, or name a segment in APIARY_SEGMENT")
Logger.configure(level: :error)
ExUnit.start(timeout: 600_000)

defmodule Apiary.Test do
  @moduledoc false

  # What is waited for is asked for again and again; the test's limit ends what never comes.
  def until(fun) do
    if value = fun.() do
      value
    else
      receive do
      after
        10 -> until(fun)
      end
    end
  end

  def in_flight(capability) do
    {:ok, providers} = Apiary.discover(capability)
    providers |> Enum.map(& &1.in_flight) |> Enum.sum()
  end
end
