defmodule Apiary.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _arguments) do
    children = [
      {Registry, keys: :unique, name: Apiary.Names},
      {DynamicSupervisor, name: Apiary.Handles, strategy: :one_for_one},
      SingularityEngine.MetaRegistry
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Apiary.Supervisor)
  end
end
