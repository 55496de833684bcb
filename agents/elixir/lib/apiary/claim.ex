defmodule Apiary.Claim do
  @moduledoc "A key that one process at a time has, with the token that fences its holder off when it has lost it."
  alias Apiary.{Error, NIF}

  @enforce_keys [:resource, :key, :token]
  defstruct [:resource, :key, :token]
  @type t :: %__MODULE__{resource: reference, key: String.t(), token: pos_integer}

  @doc false
  def claim(key, ttl, options) do
    ref = make_ref()
    how = {Keyword.get(options, :policy, :fail), Keyword.get(options, :stays, false)}
    timeout = ns(Keyword.get(options, :timeout, :infinity))

    with {:ok, handle} <- Apiary.handle(options) do
      case NIF.claim(handle, key, ns(ttl), how, timeout, ref) do
        :waiting ->
          receive do
            {:apiary_claim, ^ref, reply} -> got(key, reply)
          end

        reply ->
          got(key, reply)
      end
    end
  end

  defp got(key, {:ok, resource, token, _expires}), do: {:ok, %__MODULE__{resource: resource, key: key, token: token}}
  defp got(_, {:existing, token, holder, pid}), do: {:existing, %{token: token, holder: holder, pid: pid}}
  defp got(_, error), do: Error.wrap(error)

  @doc false
  def renew(%__MODULE__{resource: resource}, ttl) do
    with {:ok, _expires} <- NIF.claim_renew(resource, ns(ttl)) do
      :ok
    end
    |> Error.wrap()
  end

  @doc false
  def release(%__MODULE__{resource: resource}), do: Error.wrap(NIF.claim_release(resource))

  @doc "`:ok`: the claim with this token holds. For the one who does the holder's work."
  @spec check(String.t(), pos_integer, keyword) :: :ok | {:error, Error.t()}
  def check(key, token, options \\ []) do
    with {:ok, handle} <- Apiary.handle(options), do: Error.wrap(NIF.claim_check(handle, key, token))
  end

  defp ns(:infinity), do: :infinity
  defp ns(ms), do: ms * 1_000_000
end
