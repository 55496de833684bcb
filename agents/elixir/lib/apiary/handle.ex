defmodule Apiary.Handle do
  @moduledoc """
  An attached handle, under a name. Its process hears when a scheduler's lane has something and tells the waiting processes; with its
  end the handle is detached. `Apiary.attach/1` starts one.
  """
  use GenServer, restart: :transient

  @doc false
  def start_link(options) do
    GenServer.start_link(__MODULE__, options, name: {:via, Registry, {Apiary.Names, Keyword.fetch!(options, :as)}})
  end

  @doc false
  # The resource under a name, or nil.
  def get(name), do: :persistent_term.get({__MODULE__, name}, nil)

  @impl true
  def init(options) do
    Process.flag(:trap_exit, true)
    Process.flag(:priority, :high)
    name = Keyword.fetch!(options, :as)
    kind = if options[:read_only], do: :observer, else: Keyword.get(options, :kind, :client)

    case Apiary.NIF.attach(options[:segment], Apiary.text(options[:name]), Apiary.text(options[:swarm]), kind) do
      {:ok, handle} ->
        # One of this name whose process was killed has closed nothing.
        if before = get(name), do: Apiary.Content.close(before)
        Apiary.Content.open(handle)
        :persistent_term.put({__MODULE__, name}, handle)
        {:ok, %{handle: handle, name: name}}

      {:error, why} ->
        {:stop, {:shutdown, Apiary.Error.from(why)}}
    end
  end

  @impl true
  def handle_info({:select, lane, :undefined, :ready_input}, state) do
    Apiary.NIF.lane_ready(lane)
    {:noreply, state}
  end

  def handle_info(_, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    :persistent_term.erase({__MODULE__, state.name})
    Apiary.Content.close(state.handle)
    Apiary.NIF.detach(state.handle)
  end
end
