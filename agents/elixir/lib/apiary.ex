defmodule Apiary do
  @moduledoc """
  Tasks delegated by capability to agents in other processes of this host, through shared memory.

      {:ok, answer} = Apiary.call("text.upper", "hello")

  Functions give `{:ok, _}` or `{:error, %Apiary.Error{}}`; those with `!` raise the error. Options are a keyword list: those of a
  delegation (`Apiary.Options`), and

    * `handle`: the name of an attached handle (`attach/1`); without it the default one, attached when it is first needed as
      `config :apiary, segment: ..., name: ..., swarm: ...` says
    * `content`: `:raw`, `:term` or `:json`; without it as the capability has declared (`Apiary.Content`)
    * `in_place`: results of at least so many bytes (65,536) are read in the segment and not copied, four at a time of a
      handle. Such a binary holds a block of the
      segment until it is collected. It is to be let go within the segment's `result_ttl` (500 s) of the task's deadline: later its
      bytes may be another's. `:infinity`: all are copied.

    * `spin`: for how many us (100 at most) the scheduler polls for the result before the process sleeps; 0. It pays where processors are
      idle, and costs where they are not.

  Nothing blocks a scheduler: a process that awaits is asleep as in any `receive`.
  """
  alias Apiary.{Content, Error, Handle, NIF, Options, Task}

  @in_place 65_536
  @most 0xFFFFFFFFFFFFFFFF
  @own [:handle, :content, :in_place, :spin]

  @type result :: {:ok, term} | {:error, Error.t()}

  @doc "The version of the library."
  def version, do: NIF.version()

  @doc """
  Attaches to a segment: `{:ok, name}`. Options: `segment` (else $APIARY_SEGMENT, else "/apiary"), `name` (as `apiary status` calls it),
  `swarm` (the service for which it calls), `read_only`, `as` (the handle's name in this node, `Apiary` unless given). A name that is
  attached already stays so.
  """
  @spec attach(keyword) :: {:ok, term} | {:error, Error.t()}
  def attach(options \\ []) do
    name = Keyword.get(options, :as, Apiary)

    case DynamicSupervisor.start_child(Apiary.Handles, {Handle, Keyword.put(options, :as, name)}) do
      {:ok, _} -> {:ok, name}
      {:error, {:already_started, _}} -> {:ok, name}
      {:error, {:shutdown, %Error{} = error}} -> {:error, error}
    end
  end

  @doc "Detaches. Those who await a task of the handle get `:estale`. Results that are read in place stay valid."
  @spec detach(term) :: :ok
  def detach(name \\ Apiary) do
    case Registry.lookup(Apiary.Names, name) do
      [{pid, _}] -> DynamicSupervisor.terminate_child(Apiary.Handles, pid)
      [] -> :ok
    end

    :ok
  end

  @doc false
  def handle(options) do
    name = Keyword.get(options, :handle, Apiary)

    case Handle.get(name) do
      nil when name == Apiary ->
        with {:ok, _} <- attach(Application.get_all_env(:apiary)), do: got(Handle.get(name))

      found ->
        got(found)
    end
  end

  defp got(nil), do: {:error, Error.new(:estale, "no handle of that name is attached")}
  defp got(handle), do: {:ok, handle}

  @doc "Delegates a task: `{:ok, task}`, to be awaited; with `detach: true` `{:ok, nil}`. Never waits."
  @spec delegate(String.t() | atom, term, keyword) :: {:ok, Task.t() | nil} | {:error, Error.t()}
  def delegate(capability, body \\ "", options \\ []) do
    capability = to_string(capability)

    with {:ok, handle} <- handle(options),
         content = options[:content] || Content.of(handle, capability, body),
         {:ok, bytes} <- Content.encode(content, body),
         {:ok, resource} <- Error.wrap(NIF.delegate(handle, capability, bytes, Options.encode(Keyword.drop(options, @own)))) do
      {:ok, resource && %Task{resource: resource, content: content, deadline: deadline(options), how: how(options)}}
    end
  end

  # When to look for its end even if nobody tells of it; the library's own look comes once a second.
  defp deadline(options) do
    case {options[:timeout], options[:delay], options[:due_at]} do
      {timeout, nil, nil} when is_integer(timeout) -> now() + timeout + 1
      _ -> :infinity
    end
  end

  defp how(options) do
    in_place = Keyword.get(options, :in_place, @in_place)
    {if(in_place == :infinity, do: @most, else: in_place), Keyword.get(options, :spin, 0) * 1000}
  end

  @doc """
  Waits for a task, `timeout` ms at most: `{:ok, result}`, or the error with which it has failed. `:enotready`: it goes on. A result is
  given once.
  """
  @spec await(Task.t(), timeout) :: result
  def await(%Task{} = task, timeout \\ :infinity) do
    wait(task, if(timeout == :infinity, do: :infinity, else: now() + timeout))
  end

  defp wait(%Task{resource: resource, how: {in_place, spin}} = task, until) do
    ref = make_ref()

    case NIF.task_arm(resource, ref, spin, in_place) do
      :armed ->
        receive do
          {:apiary, ^ref} -> wait(task, until)
        after
          pause(min(until, task.deadline)) -> late(task, until, ref)
        end

      {:ok, bytes} ->
        Content.decode(task.content, bytes)

      {:error, why} ->
        {:error, Error.from(why)}
    end
  end

  defp pause(:infinity), do: :infinity
  defp pause(until), do: max(until - now(), 0)

  # `:infinity` is more than any number, as all atoms are.
  defp late(task, until, ref) do
    if NIF.task_disarm(task.resource) == :told do
      receive do
        {:apiary, ^ref} -> :ok
      end
    end

    if until <= task.deadline do
      wait_not(task)
    else
      wait(%Task{task | deadline: :infinity}, until)
    end
  end

  defp wait_not(%Task{resource: resource, how: {in_place, _}} = task) do
    case NIF.task_arm(resource, nil, 0, in_place) do
      {:ok, bytes} -> Content.decode(task.content, bytes)
      {:error, why} -> {:error, Error.from(why)}
    end
  end

  @doc "Awaits several tasks, in all for `timeout` ms: their results in the same order."
  @spec await_many([Task.t()], timeout) :: [result]
  def await_many(tasks, timeout \\ :infinity) do
    until = if timeout == :infinity, do: :infinity, else: now() + timeout
    Enum.map(tasks, &wait(&1, until))
  end

  @doc """
  Has the calling process told of a task's end: `{:ok, ref}`, and the message `{:apiary, ref}` when there is something to await. For
  processes with a loop of their own. `{:done, result}`: it has ended already.
  """
  @spec notify(Task.t()) :: {:ok, reference} | {:done, result}
  def notify(%Task{resource: resource, how: {in_place, _}} = task) do
    ref = make_ref()

    case NIF.task_arm(resource, ref, 0, in_place) do
      :armed -> {:ok, ref}
      {:ok, bytes} -> {:done, Content.decode(task.content, bytes)}
      {:error, why} -> {:done, {:error, Error.from(why)}}
    end
  end

  @doc "Delegates a task and awaits its end."
  @spec call(String.t() | atom, term, keyword) :: result
  def call(capability, body \\ "", options \\ []) do
    case delegate(capability, body, options) do
      {:ok, nil} -> {:error, Error.new(:einval, "a task that is detached is not awaited")}
      {:ok, task} -> wait(task, :infinity)
      error -> error
    end
  end

  @doc "Takes a queued task back at once; the agent of a running one is told. It is to be awaited all the same."
  @spec cancel(Task.t()) :: :ok | {:error, Error.t()}
  def cancel(%Task{resource: resource}), do: Error.wrap(NIF.task_cancel(resource))

  @doc "How far a task has come, by its agent's last beat: `{:ok, beats, text}`."
  def progress(%Task{resource: resource}), do: Error.wrap(NIF.task_progress(resource))

  @doc "The providers of a capability, maps with `service`, `instance`, `agent`, `pid`, `in_flight`, `alive`, `provider`."
  @spec discover(String.t() | atom, keyword) :: {:ok, [map]} | {:error, Error.t()}
  def discover(capability, options \\ []) do
    with {:ok, handle} <- handle(options), do: Error.wrap(NIF.discover(handle, to_string(capability)))
  end

  @doc "The registered instances, those that are down, too. Options: `service`, `tags`."
  @spec instances(keyword) :: {:ok, [map]} | {:error, Error.t()}
  def instances(options \\ []) do
    with {:ok, handle} <- handle(options), do: Error.wrap(NIF.instances(handle, text(options[:service]), text(options[:tags])))
  end

  @doc "One map for each instance of a service (nil: of all): its state, its mode and its counts."
  @spec swarm_status(String.t() | atom | nil, keyword) :: {:ok, [map]} | {:error, Error.t()}
  def swarm_status(service \\ nil, options \\ []) do
    with {:ok, handle} <- handle(options), do: Error.wrap(NIF.swarm_status(handle, text(service)))
  end

  @doc """
  Watches who is registered: `{:ok, watch}`, and messages `{:apiary_watch, watch.ref, {event, revision, instance}}` with the events
  `:present`, `:synced`, `:registered`, `:mode`, `:weight`, `:left`, `:died`, `:behind`. `query`: a service, or `service`, `tags`,
  `revision` (to go on from). It ends with the calling process, or by `unwatch/1`.
  """
  @spec watch(String.t() | atom | keyword) :: {:ok, map} | {:error, Error.t()}
  def watch(query \\ [])
  def watch(query) when not is_list(query), do: watch(service: query)

  def watch(query) do
    ref = make_ref()

    with {:ok, handle} <- handle(query),
         {:ok, watch} <-
           Error.wrap(NIF.instance_watch(handle, text(query[:service]), text(query[:tags]), query[:revision] || 0, ref)) do
      {:ok, %{ref: ref, watch: watch}}
    end
  end

  @doc "Ends a watch of `watch/1` or `Apiary.Memory.watch/3`."
  def unwatch(%{watch: watch}), do: NIF.watch_stop(watch)

  @doc """
  Claims a key for the calling process, for `ttl` ms or `:infinity`: `{:ok, claim}` with its fencing `token`. It ends by `release/1`,
  with the process, or when another takes it after its time. Options: `policy` (`:fail`, `:wait`, `:use_existing`, which gives
  `{:existing, claim}`, `:steal_if_expired`), `timeout` (how long it is waited for), `stays` (only its time or a release ends it).
  """
  @spec claim(String.t(), timeout, keyword) :: {:ok, Apiary.Claim.t()} | {:existing, map} | {:error, Error.t()}
  defdelegate claim(key, ttl, options \\ []), to: Apiary.Claim

  @doc "The claim lasts for `ttl` ms from now on."
  defdelegate renew(claim, ttl), to: Apiary.Claim

  @doc "Ends a claim."
  defdelegate release(claim), to: Apiary.Claim

  for {name, arguments} <- [
        attach: [:options],
        delegate: [:capability, :body, :options],
        await: [:task, :timeout],
        call: [:capability, :body, :options],
        discover: [:capability],
        claim: [:key, :ttl, :options]
      ] do
    vars = Enum.map(arguments, &Macro.var(&1, __MODULE__))
    @doc "As `#{name}/#{length(arguments)}`, but gives the value itself, and raises `Apiary.Error`."
    def unquote(:"#{name}!")(unquote_splicing(vars)), do: raising(unquote(name)(unquote_splicing(vars)))
  end

  defp raising({:ok, value}), do: value
  defp raising({:error, %Error{} = error}), do: raise(error)
  defp raising({:existing, _} = other), do: other

  @doc false
  def text(nil), do: nil
  def text(list) when is_list(list), do: Enum.join(list, " ")
  def text(other), do: to_string(other)

  defp now, do: System.monotonic_time(:millisecond)
end
