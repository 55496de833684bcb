//// apiary for Gleam: external functions of the Erlang module `apiary`.
////
//// This source was written against Gleam 1.x and was never compiled: no compiler of Gleam was at hand where it was made. What it calls,
//// the Erlang module, is tested (agents/elixir/test/erlang_test.exs) with exactly these arguments and results.

import gleam/dynamic.{type Dynamic}
import gleam/erlang/atom.{type Atom}
import gleam/erlang/process.{type Pid}

/// A row of the library's table of errors, such as `enoprovider`, and what is known about it.
pub type Error =
  #(Atom, BitArray)

/// One delegation.
pub type Task

/// A key that one process at a time has.
pub type Claim

/// A name space of the segment's memory.
pub type Memory

/// An option of a delegation, such as `#(atom.create_from_string("timeout"), dynamic.from(5000))`.
pub type Option =
  #(Atom, Dynamic)

@external(erlang, "apiary", "attach")
pub fn attach(options: List(Option)) -> Result(Atom, Error)

@external(erlang, "apiary", "delegate")
pub fn delegate(
  capability: String,
  body: BitArray,
  options: List(Option),
) -> Result(Task, Error)

@external(erlang, "apiary", "call")
pub fn call(
  capability: String,
  body: BitArray,
  options: List(Option),
) -> Result(BitArray, Error)

/// Waits for so many milliseconds at most.
@external(erlang, "apiary", "await")
pub fn await(task: Task, timeout: Int) -> Result(BitArray, Error)

@external(erlang, "apiary", "claim")
pub fn claim(key: String, ttl: Int) -> Result(Claim, Error)

@external(erlang, "apiary", "token")
pub fn token(claim: Claim) -> Int

@external(erlang, "apiary", "memory")
pub fn memory(name: String) -> Result(Memory, Error)

@external(erlang, "apiary", "get")
pub fn get(memory: Memory, key: String) -> Result(BitArray, Error)

@external(erlang, "apiary", "put")
pub fn put(memory: Memory, key: String, value: BitArray) -> Result(Int, Error)

/// Starts a queen of a service. `handler` gets a capability and a body, in a process for each task.
@external(erlang, "apiary", "start_queen")
pub fn start_queen(
  service: String,
  capabilities: List(String),
  handler: fn(String, BitArray) -> Result(BitArray, BitArray),
) -> Result(Pid, Error)

@external(erlang, "apiary", "stop_queen")
pub fn stop_queen(queen: Pid) -> Atom
