defmodule Apiary.Fun do
  @moduledoc false
  # A queen whose tasks a function handles, for Erlang and Gleam.
  use Apiary.Queen

  def handle_task(fun, capability, body, _job), do: fun.(capability, body)
end
