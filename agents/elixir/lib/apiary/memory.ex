defmodule Apiary.Memory do
  @moduledoc """
  Keys and values that all swarms share, in name spaces. Keys are texts of at most 255 bytes, values binaries of at most 64 KiB; `ttl` is
  ms or `:infinity`. A name space is opened once (`open/2`) and used by any process.

      {:ok, memory} = Apiary.Memory.open("settings")
      {:ok, version} = Apiary.Memory.put(memory, "colour", "green")
      {:ok, "green", ^version} = Apiary.Memory.get(memory, "colour")
  """
  alias Apiary.{Error, NIF}

  @type t :: reference

  @doc "Opens a name space. `local: true`: that of the service of this name, which its agents have in common."
  @spec open(String.t() | atom, keyword) :: {:ok, t} | {:error, Error.t()}
  def open(name, options \\ []) do
    with {:ok, handle} <- Apiary.handle(options) do
      Error.wrap(NIF.memory_open(handle, to_string(name), Keyword.get(options, :local, false)))
    end
  end

  @doc "`{:ok, value, version}`, or `:enokey`."
  @spec get(t, String.t()) :: {:ok, binary, pos_integer} | {:error, Error.t()}
  def get(memory, key) do
    with {:ok, value, version, _ttl} <- NIF.memory_get(memory, key) do
      {:ok, value, version}
    end
    |> Error.wrap()
  end

  @doc "Puts a value, whatever is there: `{:ok, version}`."
  def put(memory, key, value, ttl \\ :infinity), do: set(memory, key, :put, value, ttl, 0)
  @doc "Puts a value where there is none; else `:eexist`."
  def add(memory, key, value, ttl \\ :infinity), do: set(memory, key, :add, value, ttl, 0)
  @doc "Puts a value where there is one; else `:enokey`."
  def replace(memory, key, value, ttl \\ :infinity), do: set(memory, key, :replace, value, ttl, 0)
  @doc "Puts a value where this version is; else `:echanged`."
  def cas(memory, key, value, version, ttl \\ :infinity), do: set(memory, key, :cas, value, ttl, version)

  @doc "Deletes a key; `:enokey`."
  def delete(memory, key), do: Error.wrap(NIF.memory_delete(memory, key))
  @doc "Adds to a decimal number of 64 bits: `{:ok, sum}`."
  def incr(memory, key, by \\ 1), do: Error.wrap(NIF.memory_incr(memory, key, by))
  @doc "Gives a value another end."
  def touch(memory, key, ttl), do: Error.wrap(NIF.memory_touch(memory, key, ns(ttl)))

  @doc "The keys with a prefix, in no order: `{:ok, [{key, version, size}]}`."
  def scan(memory, prefix \\ ""), do: scan(memory, prefix, 0, [])

  defp scan(memory, prefix, position, done) do
    case NIF.memory_scan(memory, prefix, position) do
      {:ok, some, :done} -> {:ok, some ++ done}
      {:ok, some, position} -> scan(memory, prefix, position, some ++ done)
      error -> Error.wrap(error)
    end
  end

  @doc """
  Watches the keys with a prefix: `{:ok, watch}` and messages `{:apiary_watch, watch.ref, {event, revision, key, version}}` with the
  events `:present`, `:synced`, `:put`, `:deleted`, `:expired`, `:behind`. `Apiary.unwatch/1` ends it.
  """
  def watch(memory, prefix \\ "", options \\ []) do
    ref = make_ref()

    with {:ok, watch} <- Error.wrap(NIF.memory_watch(memory, prefix, options[:revision] || 0, ref)) do
      {:ok, %{ref: ref, watch: watch}}
    end
  end

  defp set(memory, key, how, value, ttl, version), do: Error.wrap(NIF.memory_set(memory, key, how, value, ns(ttl), version))

  defp ns(:infinity), do: :infinity
  defp ns(ms), do: ms * 1_000_000
end
