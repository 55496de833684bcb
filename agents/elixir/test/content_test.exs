defmodule Apiary.ContentTest do
  use ExUnit.Case, async: true
  alias Apiary.{Content, Error, JSON}

  test "JSON there and back" do
    term = %{"a" => [1, -2, 2.5, 1.0e30, true, false, nil, "é\n\"\\\u0001"], "b" => %{"c" => []}}
    assert {:ok, term} == term |> JSON.encode() |> IO.iodata_to_binary() |> JSON.decode()
    assert {:ok, "é😀"} = JSON.decode(~S("\u00e9\ud83d\ude00"))
    assert {:ok, %{"a" => 1}} = JSON.decode(" { \"a\" : 1 } ")
    assert ~S({"a":"b"}) == IO.iodata_to_binary(JSON.encode(%{a: :b}))
  end

  test "what is no JSON is told" do
    for text <- ["", "{", "[1,]", "{1:2}", "01", "1 2", "\"\\ud83d\"", "\"\n\"", "nul", "1e999", <<255>>, "[" <> <<0>>] do
      assert {:error, why} = JSON.decode(text), text
      assert is_binary(why)
    end

    assert {:error, _} = JSON.decode(String.duplicate("[", 100_000))
    assert {:error, %Error{name: :einval}} = Content.encode(:json, {1, 2})
    assert {:error, %Error{name: :einval}} = Content.encode(:json, <<255>>)
    assert {:error, %Error{name: :einval}} = Content.encode(:raw, %{})
  end

  test "terms are read safely" do
    assert {:ok, {:a, [1]}} = Content.decode(:term, :erlang.term_to_binary({:a, [1]}))
    unknown = <<131, 119, 20, "an_atom_nobody_knows">>
    assert {:error, %Error{name: :einval}} = Content.decode(:term, unknown)
    assert_raise ArgumentError, fn -> String.to_existing_atom("an_atom_nobody" <> "_knows") end
    assert {:error, %Error{name: :einval}} = Content.decode(:term, :erlang.term_to_binary(%{f: [&IO.puts/1]}))
    assert {:error, %Error{name: :einval}} = Content.decode(:term, "rubbish")
    assert {:error, %Error{name: :einval}} = Content.decode(:term, <<131, 104, 255>>)
  end
end
