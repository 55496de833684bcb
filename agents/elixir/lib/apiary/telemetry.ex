defmodule Apiary.Telemetry do
  @moduledoc """
  Events in the form of `:telemetry`, which are given to that where it is loaded, and to handlers of `attach/3`.

    * `[:apiary, :task, :start]`: `%{system_time: native}`
    * `[:apiary, :task, :stop]`, `[:apiary, :task, :exception]`: `%{duration: native}`; `reason` in the metadata of the latter
    * `[:apiary, :task, :cancelled]`: `%{count: 1}`, when its handler is told

  Metadata: `service`, `agent`, `capability`, `caller`, `attempt`, `task`. A handler runs in the process of the event; one that raises
  is detached.
  """
  require Logger

  @type handler :: (event :: [atom], measurements :: map, metadata :: map -> any)

  @doc "Has `fun` called for the events of these names, under an id."
  @spec attach(term, [[atom]], handler) :: :ok
  def attach(id, events, fun) when is_function(fun, 3) do
    update(&Map.put(&1, id, {events, fun}))
  end

  @doc "Ends that."
  @spec detach(term) :: :ok
  def detach(id), do: update(&Map.delete(&1, id))

  defp update(change) do
    :global.trans({__MODULE__, self()}, fn -> :persistent_term.put(__MODULE__, change.(handlers())) end, [node()])
    :ok
  end

  defp handlers, do: :persistent_term.get(__MODULE__, %{})

  @doc false
  def execute(event, measurements, metadata) do
    if function_exported?(:telemetry, :execute, 3), do: apply(:telemetry, :execute, [event, measurements, metadata])

    for {id, {events, fun}} <- handlers(), event in events do
      try do
        fun.(event, measurements, metadata)
      rescue
        e ->
          detach(id)
          Logger.error("the handler #{inspect(id)} of events is detached: " <> Exception.message(e))
      end
    end

    :ok
  end
end
