defmodule Apiary.Error do
  @moduledoc """
  Why something was refused or has failed: a row of the library's one table of errors.

    * `name`: `:enoprovider`, `:equeuefull` ... as in `apiary_error.def`, without `APIARY_` and in small letters
    * `message`: what is known about it; with `:eagent` the text of the agent
    * `code`: with `:eagent` the agent's own number, else 0
    * `retry_after`: with a refusal because of load, after how many ms another attempt may do better; else 0
  """
  defexception [:name, :message, code: 0, retry_after: 0]

  @type t :: %__MODULE__{name: atom, message: String.t(), code: non_neg_integer, retry_after: non_neg_integer}

  @doc "What to do about it, in a sentence."
  @spec advice(t | atom) :: String.t()
  def advice(%__MODULE__{name: name}), do: advice(name)

  def advice(name) when is_atom(name) do
    Enum.find_value(Apiary.NIF.errors(), "", fn {known, _text, advice, _after} -> known == name && advice end)
  end

  @doc false
  def from({name, text, code, retry_after_ns}) do
    %__MODULE__{name: name, message: text, code: code, retry_after: div(retry_after_ns + 999_999, 1_000_000)}
  end

  @doc false
  # The error of a NIF as callers get it; all else is as it is.
  def wrap({:error, {_, _, _, _} = why}), do: {:error, from(why)}
  def wrap(other), do: other

  @doc false
  def new(name, text), do: %__MODULE__{name: name, message: text}
end
