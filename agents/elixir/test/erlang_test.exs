defmodule Apiary.ErlangTest do
  # The Erlang module, with what Gleam gives and takes: binaries, proplists, tagged tuples.
  use ExUnit.Case

  test "tasks" do
    assert {:ok, Apiary} = :apiary.attach([])
    assert {:ok, "HELLO"} = :apiary.call("text.upper", "hello", timeout: 5000, priority: :high)
    assert {:ok, task} = :apiary.delegate("text.upper", "a", [])
    assert {:ok, "A"} = :apiary.await(task, :infinity)
    assert {:error, {:enocap, text}} = :apiary.call("nobody.offers.it", "", [])
    assert is_binary(text)
    assert {:ok, [%{service: "text_service"}]} = :apiary.discover("text.upper")
    assert {:ok, task} = :apiary.delegate("sleep", "", [])
    assert {:error, {:enotready, _}} = :apiary.await(task, 10)
    assert :ok = :apiary.cancel(task)
  end

  test "claims and memory" do
    assert {:ok, claim} = :apiary.claim("erlang.key", 60_000)
    assert is_integer(:apiary.token(claim))
    assert {:error, {:eheld, _}} = :apiary.claim("erlang.key", 60_000)
    assert :ok = :apiary.renew(claim, 60_000)
    assert :ok = :apiary.release(claim)
    assert {:ok, memory} = :apiary.memory("erlang")
    assert {:ok, version} = :apiary.put(memory, "k", "v")
    assert is_integer(version)
    assert {:ok, "v"} = :apiary.get(memory, "k")
    assert :ok = :apiary.delete(memory, "k")
    assert {:error, {:enokey, _}} = :apiary.get(memory, "k")
  end

  test "a queen" do
    handler = fn
      "erlang.twice", body -> {:ok, body <> body}
      "erlang.fails", body -> {:error, "no " <> body}
    end

    assert {:ok, queen} = :apiary.start_queen("erlang_service", ["erlang.twice", "erlang.fails"], handler)
    assert {:ok, "abab"} = :apiary.call("erlang.twice", "ab", [])
    assert {:error, {:eagent, "no ab"}} = :apiary.call("erlang.fails", "ab", [])
    assert :ok = :apiary.stop_queen(queen)
  end
end
