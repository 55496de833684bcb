defmodule Apiary.JSON do
  @moduledoc """
  JSON (RFC 8259) for bodies that others read, since Elixir 1.14 has none of its own. Objects have texts as keys; atoms but `true`,
  `false` and `nil` are written as texts. Nothing is made an atom.
  """
  @deepest 512

  @doc "A term as JSON. ArgumentError: it is none that JSON has."
  @spec encode(term) :: iodata
  def encode(nil), do: "null"
  def encode(true), do: "true"
  def encode(false), do: "false"
  def encode(atom) when is_atom(atom), do: encode(Atom.to_string(atom))
  def encode(number) when is_integer(number), do: Integer.to_string(number)
  def encode(number) when is_float(number), do: Float.to_string(number)
  def encode(text) when is_binary(text), do: [?", escape(text, text), ?"]
  def encode(list) when is_list(list), do: [?[, list |> Enum.map(&encode/1) |> Enum.intersperse(?,), ?]]
  def encode(%{__struct__: _} = struct), do: raise(ArgumentError, "no JSON for #{inspect(struct.__struct__)}")
  def encode(%{} = map), do: [?{, map |> Enum.map(fn {k, v} -> [encode(key(k)), ?:, encode(v)] end) |> Enum.intersperse(?,), ?}]
  def encode(other), do: raise(ArgumentError, "no JSON for #{inspect(other, limit: 5)}")

  defp key(atom) when is_atom(atom), do: Atom.to_string(atom)
  defp key(number) when is_integer(number), do: Integer.to_string(number)
  defp key(text) when is_binary(text), do: text
  defp key(other), do: raise(ArgumentError, "no key of a JSON object: #{inspect(other, limit: 5)}")

  defp escape(text, whole) do
    unless String.valid?(text), do: raise(ArgumentError, "no UTF-8: #{inspect(whole, limit: 20)}")
    for <<c::utf8 <- text>>, into: "", do: escaped(c)
  end

  defp escaped(?"), do: "\\\""
  defp escaped(?\\), do: "\\\\"
  defp escaped(?\n), do: "\\n"
  defp escaped(?\r), do: "\\r"
  defp escaped(?\t), do: "\\t"
  defp escaped(c) when c < 32, do: "\\u" <> String.pad_leading(Integer.to_string(c, 16), 4, "0")
  defp escaped(c), do: <<c::utf8>>

  @doc "The term of a JSON text, or why it is none."
  @spec decode(binary) :: {:ok, term} | {:error, String.t()}
  def decode(text) do
    {term, rest} = value(space(text), 0)
    if space(rest) == "", do: {:ok, term}, else: {:error, "more than one JSON value"}
  catch
    {:json, why} -> {:error, why}
  end

  defp space(<<c, rest::binary>>) when c in ' \t\r\n', do: space(rest)
  defp space(rest), do: rest

  defp value(_, depth) when depth > @deepest, do: throw({:json, "JSON nested deeper than #{@deepest}"})
  defp value("null" <> rest, _), do: {nil, rest}
  defp value("true" <> rest, _), do: {true, rest}
  defp value("false" <> rest, _), do: {false, rest}
  defp value("\"" <> rest, _), do: string(rest, [])
  defp value("[" <> rest, depth), do: list(space(rest), depth + 1)
  defp value("{" <> rest, depth), do: object(space(rest), depth + 1)
  defp value(text, _), do: number(text)

  defp list("]" <> rest, _), do: {[], rest}
  defp list(text, depth), do: items(text, [], depth)

  defp items(text, done, depth) do
    {item, rest} = value(text, depth)

    case space(rest) do
      "," <> more -> items(space(more), [item | done], depth)
      "]" <> more -> {Enum.reverse([item | done]), more}
      _ -> throw({:json, "no end of a JSON list"})
    end
  end

  defp object("}" <> rest, _), do: {%{}, rest}
  defp object(text, depth), do: members(text, %{}, depth)

  defp members("\"" <> text, done, depth) do
    {key, rest} = string(text, [])

    with ":" <> more <- space(rest), {item, rest} <- value(space(more), depth) do
      case space(rest) do
        "," <> more -> members(space(more), Map.put(done, key, item), depth)
        "}" <> more -> {Map.put(done, key, item), more}
        _ -> throw({:json, "no end of a JSON object"})
      end
    else
      _ -> throw({:json, "a key of a JSON object without a value"})
    end
  end

  defp members(_, _, _), do: throw({:json, "a JSON object has texts as keys"})

  defp string("\"" <> rest, done), do: {done |> Enum.reverse() |> IO.iodata_to_binary(), rest}
  defp string("\\u" <> rest, done), do: unicode(rest, done)

  defp string(<<?\\, c, rest::binary>>, done) when c in '"\\/bfnrt' do
    string(rest, [Map.get(%{?b => "\b", ?f => "\f", ?n => "\n", ?r => "\r", ?t => "\t"}, c, <<c>>) | done])
  end

  defp string(<<c::utf8, rest::binary>>, done) when c >= 32 and c != ?\\, do: string(rest, [<<c::utf8>> | done])
  defp string(_, _), do: throw({:json, "no JSON text"})

  defp unicode(text, done) do
    case hex(text) do
      {high, "\\u" <> rest} when high in 0xD800..0xDBFF ->
        case hex(rest) do
          {low, rest} when low in 0xDC00..0xDFFF ->
            string(rest, [<<0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00)::utf8>> | done])

          _ ->
            throw({:json, "half of a pair in a JSON text"})
        end

      {c, _} when c in 0xD800..0xDFFF ->
        throw({:json, "half of a pair in a JSON text"})

      {c, rest} ->
        string(rest, [<<c::utf8>> | done])
    end
  end

  defp hex(<<digits::binary-size(4), rest::binary>>) do
    if digits =~ ~r/\A[0-9a-fA-F]{4}\z/, do: {String.to_integer(digits, 16), rest}, else: throw({:json, "no \\u of JSON"})
  end

  defp hex(_), do: throw({:json, "no \\u of JSON"})

  defp number(text) do
    case Regex.run(~r/\A(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][+-]?[0-9]+)?/, text) do
      [all, whole] -> {String.to_integer(whole), rest(text, all)}
      [all, whole, fraction] -> {float(whole <> fraction), rest(text, all)}
      [all, whole, "", exponent] -> {float(whole <> ".0" <> exponent), rest(text, all)}
      [all, whole, fraction, exponent] -> {float(whole <> fraction <> exponent), rest(text, all)}
      nil -> throw({:json, "no JSON value"})
    end
  end

  defp rest(text, all), do: binary_part(text, byte_size(all), byte_size(text) - byte_size(all))

  defp float(text) do
    String.to_float(text)
  rescue
    ArgumentError -> throw({:json, "a number of JSON that is too large"})
  end
end
