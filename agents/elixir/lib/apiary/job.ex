defmodule Apiary.Job do
  @moduledoc """
  A task in the hands of a handler (`c:Apiary.Agent.handle_task/3`).

    * `caller`: the service that asks, "" if none; `attempt`: 1, more after failures and deaths of earlier ones
    * `deadline`: of the clock of `System.monotonic_time(:nanosecond)` in the sense of `time_left/1`, or `:infinity`
    * `task`: slot, epoch and generation; `traceparent`: its trace, or nil

  A handler that takes long calls `beat/2` now and then: this is what the option `heartbeat` of a caller waits for, and its answer says
  whether to stop. A handler also gets the message `{:apiary_cancelled, task}` when the task is cancelled, is given up or takes too long,
  and is killed when it has not ended 2 s later.
  """
  alias Apiary.{Content, Error, NIF, Options}

  @enforce_keys [:resource, :capability]
  defstruct [:resource, :capability, :caller, :attempt, :deadline, :task, :traceparent, :handle]
  @type t :: %__MODULE__{}

  @doc "It is at work: `:ok`, or `:stop`. `text`: how far it has come, at most 88 bytes."
  @spec beat(t, String.t()) :: :ok | :stop
  def beat(%__MODULE__{resource: resource}, text \\ "") do
    case NIF.job_beat(resource, text) do
      :ok -> :ok
      _ -> :stop
    end
  end

  @doc "Whether it was cancelled, given up, or takes too long."
  @spec cancelled?(t) :: boolean
  def cancelled?(%__MODULE__{resource: resource}), do: NIF.job_cancelled(resource)

  @doc "How many ms there are to its deadline."
  @spec time_left(t) :: timeout
  def time_left(%__MODULE__{deadline: :infinity}), do: :infinity
  # Erlang's clock of the system without its own offset is CLOCK_MONOTONIC.
  def time_left(%__MODULE__{deadline: at}), do: max(div(at - :os.perf_counter(:nanosecond), 1_000_000), 0)

  @doc """
  Asks another agent for this task's sake: it is a child of it, in its trace, with at most its time and one hop less, and ends with it.
  """
  @spec call(t, String.t() | atom, term, keyword) :: Apiary.result()
  def call(%__MODULE__{resource: resource, handle: handle}, capability, body \\ "", options \\ []) do
    ask(handle, capability, body, options, &NIF.job_delegate(resource, &1, &2, &3, &4))
  end

  @doc false
  def ask(handle, capability, body, options, give) do
    ref = make_ref()
    capability = to_string(capability)
    content = options[:content] || Content.of(handle, capability, body)

    with {:ok, bytes} <- Content.encode(content, body),
         :ok <- Error.wrap(give.(capability, bytes, Options.encode(Keyword.delete(options, :content)), ref)) do
      receive do
        {:apiary_done, ^ref, {:ok, bytes}} -> Content.decode(content, bytes)
        {:apiary_done, ^ref, error} -> Error.wrap(error)
      end
    end
  end

  @doc "Sends a part of the result, a binary, ahead of its end; waits while the reader is behind."
  @spec part(t, iodata) :: :ok | {:error, Error.t()}
  def part(%__MODULE__{resource: resource}, data) do
    ref = make_ref()

    with :ok <- Error.wrap(NIF.job_part(resource, data, ref)) do
      receive do
        {:apiary_done, ^ref, result} -> Error.wrap(result)
      end
    end
  end
end
