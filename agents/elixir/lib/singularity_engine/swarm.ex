defmodule SingularityEngine.Swarm.QueenTemplate do
  @moduledoc """
  The standard interface of a swarm's queen, by the names of the Singularity Engine. `use` of it is `use Apiary.Queen`.
  """

  defmacro __using__(options) do
    quote do
      use Apiary.Queen, unquote(options)
    end
  end

  @doc "As `Apiary.Queen.execute_task/2`."
  defdelegate execute_task(queen_pid, task), to: Apiary.Queen
  @doc "As `Apiary.Queen.delegate_external_task/3`."
  defdelegate delegate_external_task(queen_pid, capability, task), to: Apiary.Queen
  @doc "As `Apiary.Queen.get_swarm_status/1`."
  defdelegate get_swarm_status(queen_pid), to: Apiary.Queen
end
