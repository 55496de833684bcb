defmodule Apiary.Agent do
  @moduledoc """
  An agent of a queen: a module that handles the tasks of some capabilities.

      defmodule Shouter do
        use Apiary.Agent, capabilities: [:shout], concurrency: 4

        @impl true
        def handle_task(:shout, text, _job), do: {:ok, String.upcase(text)}
      end

  Options: `capabilities` (atoms or texts, as they are given to `handle_task/3`), `name` (else of the module), `concurrency` (how many of
  its tasks run at once, each in a process; the others wait in the segment, and can go to another instance; 64), `content` (`:term`,
  `:json`, `:raw`; `:term`), `terms` (a map from capabilities to keyword lists of the terms of a deployment: `%{shout: [rate: "10/s"]}`),
  `grace` (ms that a handler has to end when its task is cancelled; 2000).

  The result is `{:ok, result}`, or a failed attempt: `{:error, text}`, `{:error, code, text}` with a number of the agent's own (400 to
  499: the request is wrong), `{:retry, ms, text}` (when it is tried again, if its caller has it tried again), `{:stop, text}` (not
  again). A handler that raises, throws or exits has failed the attempt, with its reason.
  """
  @callback handle_task(capability :: atom | String.t(), body :: term, job :: Apiary.Job.t()) ::
              {:ok, term} | {:error, term} | {:error, pos_integer, term} | {:retry, non_neg_integer, term} | {:stop, term}

  defmacro __using__(options) do
    quote do
      @behaviour Apiary.Agent
      @doc false
      def __apiary_agent__, do: Apiary.Agent.spec(__MODULE__, unquote(options))
    end
  end

  @doc false
  def spec(module, options) do
    %{
      module: module,
      name: to_string(options[:name] || module |> Module.split() |> List.last() |> Macro.underscore()),
      capabilities: Keyword.fetch!(options, :capabilities),
      concurrency: Keyword.get(options, :concurrency, 64),
      content: Keyword.get(options, :content, :term),
      terms: Keyword.get(options, :terms),
      grace: Keyword.get(options, :grace, 2000)
    }
  end

  @doc false
  # The terms as the library reads them: JSON, which is YAML.
  def terms(nil), do: nil

  def terms(terms) do
    for({name, of} <- terms, into: %{}, do: {to_string(name), Map.new(of)}) |> Apiary.JSON.encode() |> IO.iodata_to_binary()
  end
end
