defmodule Apiary.MixProject do
  use Mix.Project

  def project do
    [
      app: :apiary,
      version: "0.1.0",
      elixir: "~> 1.14",
      start_permanent: false,
      compilers: [:apiary_nif] ++ Mix.compilers(),
      description: "Tasks delegated by capability through shared memory",
      deps: []
    ]
  end

  def application do
    [extra_applications: [:logger], mod: {Apiary.Application, []}]
  end
end

defmodule Mix.Tasks.Compile.ApiaryNif do
  @moduledoc """
  Compiles the NIF into `priv`, with `cc`, against the library that pkg-config finds, or the one of $APIARY_BUILD (a build of the tree
  that this application lies in; `build/release` where there is one). Nothing is done while `priv/apiary_nif.so` is newer than its
  sources. With $APIARY_NIF set, CMake has built it.
  """
  use Mix.Task.Compiler

  @impl true
  def run(_arguments) do
    root = File.cwd!()
    target = Path.join([Mix.Project.app_path(), "priv", "apiary_nif.so"])
    sources = Path.wildcard(Path.join(root, "c_src/*.{c,h}"))

    cond do
      System.get_env("APIARY_NIF") -> {:noop, []}
      newer?(target, sources) -> {:noop, []}
      true -> compile(target, Enum.filter(sources, &String.ends_with?(&1, ".c")), library(root))
    end
  end

  @impl true
  def clean, do: File.rm(Path.join([Mix.Project.app_path(), "priv", "apiary_nif.so"]))

  defp newer?(target, sources) do
    case File.stat(target, time: :posix) do
      {:ok, %{mtime: made}} -> Enum.all?(sources, &(File.stat!(&1, time: :posix).mtime <= made))
      _ -> false
    end
  end

  defp library(root) do
    tree = Path.expand("../..", root)
    build = System.get_env("APIARY_BUILD") || Path.join(tree, "build/release")

    if File.exists?(Path.join(build, "lib/libapiary.so")) do
      lib = Path.join(build, "lib")
      ["-I" <> Path.join(tree, "core"), "-L" <> lib, "-lapiary", "-Wl,-rpath," <> lib]
    else
      case System.cmd("pkg-config", ["--cflags", "--libs", "apiary"], stderr_to_stdout: true) do
        {flags, 0} -> String.split(flags)
        {text, _} -> Mix.raise("libapiary is not there: build it, name its build in APIARY_BUILD, or install it\n" <> text)
      end
    end
  end

  defp compile(target, sources, library) do
    File.mkdir_p!(Path.dirname(target))
    erlang = Path.join([to_string(:code.root_dir()), "usr", "include"])
    flags = ~w(-std=gnu11 -D_GNU_SOURCE -O2 -g -fPIC -shared -Wall -Wextra) ++ ["-I" <> erlang, "-o", target]

    case System.cmd(System.get_env("CC", "cc"), flags ++ sources ++ library, stderr_to_stdout: true) do
      {_, 0} -> {:ok, []}
      {text, _} -> Mix.raise("the NIF does not compile\n" <> text)
    end
  end
end
