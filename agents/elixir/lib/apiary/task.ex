defmodule Apiary.Task do
  @moduledoc """
  One delegation. The process that has delegated it owns it: with the end of that process, or when nothing refers to it any more, the
  task is cancelled, and its result is dropped. Any process may await it, one at a time.
  """
  @enforce_keys [:resource]
  defstruct [:resource, content: :raw, deadline: :infinity, how: {65_536, 0}]

  @type t :: %__MODULE__{resource: reference, content: Apiary.Content.t(), deadline: integer | :infinity, how: tuple}

  @doc "The task's name in the segment, as `apiary task show` has it: slot, epoch and generation."
  def name(%__MODULE__{resource: resource}), do: Apiary.NIF.task_name(resource)
end
