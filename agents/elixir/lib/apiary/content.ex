defmodule Apiary.Content do
  @moduledoc """
  How a body is written: `:raw` (a binary or iolist, as it is), `:term` (external term format, between BEAMs), `:json`.

  A capability that is served from Elixir declares its content in the memory of the segment (name space `apiary.content`), so that a
  caller that says nothing writes what its provider reads. A capability that declares nothing takes `:raw` where the body is a binary,
  else `:json`.

  Terms are read safely: no new atoms, functions or references come from outside (`:erlang.binary_to_term/2` with `:safe`, and
  functions are refused).
  """
  alias Apiary.NIF

  @type t :: :raw | :term | :json

  @space "apiary.content"

  @doc "Writes a body."
  @spec encode(t, term) :: {:ok, iodata} | {:error, Apiary.Error.t()}
  def encode(:raw, body) when is_binary(body) or is_list(body), do: {:ok, body}
  def encode(:raw, body), do: invalid("a raw body is a binary or iolist, not #{inspect(body, limit: 5)}")
  def encode(:term, term), do: {:ok, :erlang.term_to_binary(term)}

  def encode(:json, term) do
    {:ok, Apiary.JSON.encode(term)}
  rescue
    e in ArgumentError -> invalid(e.message)
  end

  @doc "Reads a body; an empty one is `\"\"` in each content."
  @spec decode(t, binary) :: {:ok, term} | {:error, Apiary.Error.t()}
  def decode(:raw, body), do: {:ok, body}
  def decode(_, ""), do: {:ok, ""}

  def decode(:term, body) do
    term = :erlang.binary_to_term(body, [:safe])
    if functions?(term), do: invalid("a term with a function"), else: {:ok, term}
  rescue
    ArgumentError -> invalid("no term, or one with unknown atoms")
  end

  def decode(:json, body) do
    case Apiary.JSON.decode(body) do
      {:ok, term} -> {:ok, term}
      {:error, text} -> invalid(text)
    end
  end

  @doc false
  # When a handle is attached: the name space, opened once.
  def open(handle) do
    case NIF.memory_open(handle, @space, false) do
      {:ok, memory} -> :persistent_term.put({__MODULE__, handle}, memory)
      {:error, _} -> :ok
    end
  end

  @doc false
  def close(handle), do: :persistent_term.erase({__MODULE__, handle})

  @doc "Declares the content of a capability, for those who ask for it from now on."
  @spec declare(reference, String.t(), t) :: :ok | {:error, Apiary.Error.t()}
  def declare(handle, capability, content) do
    with {:ok, memory} <- NIF.memory_open(handle, @space, false),
         {:ok, _} <- NIF.memory_set(memory, capability, :put, Atom.to_string(content), :infinity, 0) do
      :ok
    end
    |> Apiary.Error.wrap()
  end

  @doc "What a capability has declared, or what a body of this form is written as."
  @spec of(reference, String.t(), term) :: t
  def of(handle, capability, body) do
    case declared(handle, capability) do
      {:ok, text, _, _} when text in ["raw", "term", "json"] -> String.to_existing_atom(text)
      _ when is_binary(body) -> :raw
      _ -> :json
    end
  end

  defp declared(handle, capability) do
    case :persistent_term.get({__MODULE__, handle}, nil) do
      nil -> nil
      memory -> NIF.memory_get(memory, capability)
    end
  end

  defp invalid(text), do: {:error, Apiary.Error.new(:einval, text)}

  defp functions?(term) when is_function(term), do: true
  defp functions?([head | tail]), do: functions?(head) or functions?(tail)
  defp functions?(term) when is_tuple(term), do: term |> Tuple.to_list() |> functions?()
  defp functions?(%{} = map), do: map |> Map.to_list() |> functions?()
  defp functions?(_), do: false
end
