defmodule Apiary.Options do
  @moduledoc """
  The options of a delegation. Their names are those of the library's one table (`Apiary.Options.all/0`, `apiary delegate --help`), with
  `_` for `-`, and three flags: `detach`, `no_fallback`, `no_hedge`.

    * Times (`timeout`, `delay`, `keep`, `schedule_to_start`, `start_to_close`, `heartbeat`, `hedge`) are ms as a number, or texts such
      as `"5s"`. `hedge: :p95`.
    * `priority: :high`, `parent_close: :request_cancel`, `due_at: ~U[2026-12-01 08:00:00Z]`, `traceparent: "00-..."`.
    * `retry: 5`, or `retry: [max_attempts: 5, backoff: 100, multiplier: 2, cap: 10_000, never: [7]]`.
    * `key` and `dedup_key` are any text, atom or number.
  """

  @doc "The options of the library, each with a sentence about it."
  @spec all() :: [{atom, String.t()}]
  def all do
    for {name, what} <- Apiary.NIF.options(), do: {name |> String.replace("-", "_") |> String.to_atom(), what}
  end

  @doc false
  def encode(options), do: for({name, value} <- options, value != nil, do: {Atom.to_string(name), value(name, value)})

  defp value(:retry, list) when is_list(list) do
    {attempts, rest} = Keyword.pop(list, :max_attempts, 1)
    Enum.join([attempts | Enum.flat_map(rest, &retry/1)], ",")
  end

  defp value(_, %DateTime{} = at) do
    at |> DateTime.shift_zone!("Etc/UTC") |> DateTime.truncate(:second) |> DateTime.to_iso8601()
  end

  defp value(_, atom) when is_atom(atom), do: Atom.to_string(atom)
  defp value(_, number) when is_integer(number), do: Integer.to_string(number)
  defp value(_, text), do: text

  defp retry({:never, codes}), do: Enum.map(List.wrap(codes), &"never=#{&1}")
  defp retry({:multiplier, factor}), do: ["multiplier=#{factor}"]
  defp retry({name, time}) when is_integer(time), do: ["#{name}=#{time}ms"]
  defp retry({name, text}), do: ["#{name}=#{text}"]
end
