defmodule Apiary.Agent.Server do
  @moduledoc false
  # The process of an agent: gets its tasks, and supervises the processes that handle them. A handler is linked; its end without an
  # answer is a failed attempt with its reason. With this process its handlers end, and what they had is failed by the NIF.
  use GenServer
  alias Apiary.{Content, Job, NIF, Telemetry}

  @look 100

  def start_link(spec), do: GenServer.start_link(__MODULE__, spec)

  @impl true
  def init(spec) do
    Process.flag(:trap_exit, true)
    names = Map.new(spec.capabilities, &{to_string(&1), &1})
    {:ok, %{spec: spec, names: names, running: %{}, looking: false}}
  end

  @impl true
  def handle_call(:running, _from, state), do: {:reply, map_size(state.running), state}

  @impl true
  def handle_info({:apiary_job, resource, capability, body, {caller, attempt, deadline, task, trace}}, state) do
    # A capability that is offered as name@major is asked for by its name, too.
    declared = Map.get_lazy(state.names, capability, fn -> asked(state.names, capability) end)

    job = %Job{
      resource: resource,
      capability: declared,
      caller: caller,
      attempt: attempt,
      deadline: deadline,
      task: task,
      traceparent: trace,
      handle: state.spec.handle
    }

    spec = state.spec
    pid = spawn_link(fn -> run(spec, job, body) end)
    state = %{state | running: Map.put(state.running, pid, {job, nil})}
    {:noreply, look_later(state)}
  end

  def handle_info({:EXIT, pid, reason}, state) do
    case Map.pop(state.running, pid) do
      {nil, _} ->
        if reason in [:normal, :shutdown], do: {:noreply, state}, else: {:stop, reason, state}

      {{job, _}, running} ->
        unless reason == :normal do
          text = "the handler has ended: " <> Exception.format_exit(reason)
          NIF.job_fail(job.resource, 500, cut(text), nil)
          Telemetry.execute([:apiary, :task, :exception], %{duration: 0}, metadata(state.spec, job, %{reason: reason}))
        end

        {:noreply, %{state | running: running}}
    end
  end

  def handle_info(:look, state) do
    now = System.monotonic_time(:millisecond)
    running = Map.new(state.running, fn {pid, {job, told}} -> {pid, {job, look(state.spec, pid, job, told, now)}} end)
    {:noreply, look_later(%{state | running: running, looking: false})}
  end

  def handle_info(_, state), do: {:noreply, state}

  defp asked(names, capability) do
    Enum.find_value(names, capability, fn {name, declared} -> hd(String.split(name, "@")) == capability && declared end)
  end

  # The library says that a task is to stop where it is asked; so it is asked, while something runs.
  defp look_later(%{running: running, looking: false} = state) when map_size(running) > 0 do
    Process.send_after(self(), :look, @look)
    %{state | looking: true}
  end

  defp look_later(state), do: state

  defp look(spec, pid, job, nil, now) do
    if NIF.job_cancelled(job.resource) do
      send(pid, {:apiary_cancelled, job.task})
      Telemetry.execute([:apiary, :task, :cancelled], %{count: 1}, metadata(spec, job, %{}))
      now
    end
  end

  defp look(spec, pid, _job, told, now) do
    if now - told >= spec.grace, do: Process.exit(pid, :kill)
    told
  end

  # ---- in the process of the task

  defp run(spec, job, body) do
    began = System.monotonic_time()
    metadata = metadata(spec, job, %{})
    Telemetry.execute([:apiary, :task, :start], %{system_time: System.system_time()}, metadata)

    outcome =
      try do
        answer(spec, job, handle(spec, job, body))
      catch
        kind, reason -> fail(job, 500, Exception.format_banner(kind, reason, __STACKTRACE__), nil)
      end

    duration = %{duration: System.monotonic_time() - began}

    case outcome do
      :ok -> Telemetry.execute([:apiary, :task, :stop], duration, metadata)
      {:failed, text} -> Telemetry.execute([:apiary, :task, :exception], duration, Map.put(metadata, :reason, text))
    end
  end

  defp handle(spec, job, body) do
    case Content.decode(spec.content, body) do
      {:ok, term} -> handled(spec.module, job, term)
      {:error, error} -> {:error, 400, "the request: " <> error.message}
    end
  end

  # By its name, so that a task begins with the newest code of the module.
  defp handled({module, argument}, job, term), do: module.handle_task(argument, job.capability, term, job)
  defp handled(module, job, term), do: module.handle_task(job.capability, term, job)

  defp answer(spec, job, {:ok, result}) do
    case Content.encode(spec.content, result) do
      {:ok, bytes} ->
        NIF.job_reply(job.resource, bytes)
        :ok

      {:error, error} ->
        fail(job, 500, "the result: " <> error.message, nil)
    end
  end

  defp answer(_, job, {:error, reason}), do: fail(job, 500, text(reason), nil)
  defp answer(_, job, {:error, code, reason}) when is_integer(code) and code > 0, do: fail(job, code, text(reason), nil)
  defp answer(_, job, {:retry, ms, reason}), do: fail(job, 500, text(reason), ms * 1_000_000)
  defp answer(_, job, {:stop, reason}), do: fail(job, 500, text(reason), :infinity)
  defp answer(_, job, other), do: fail(job, 500, "the handler gave #{inspect(other, limit: 5)}", nil)

  defp fail(job, code, text, retry_after) do
    NIF.job_fail(job.resource, code, cut(text), retry_after)
    {:failed, text}
  end

  defp text(text) when is_binary(text), do: text
  defp text(%{__exception__: true} = e), do: Exception.message(e)
  defp text(term), do: inspect(term, limit: 20)

  defp cut(text), do: if(byte_size(text) > 900, do: binary_part(text, 0, 897) <> "...", else: text)

  defp metadata(spec, job, more) do
    Map.merge(
      %{
        service: spec.service,
        agent: spec.name,
        capability: job.capability,
        caller: job.caller,
        attempt: job.attempt,
        task: job.task
      },
      more
    )
  end
end
