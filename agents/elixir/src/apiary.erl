%% apiary - the interface of apiary for Erlang and for what compiles to it: binaries and tagged tuples.
%%
%% Results are {ok, _}, ok, or {error, {Name, Text}}, where Name is a row of the library's table of errors, such as enoprovider. Options
%% are those of Apiary.Options as a proplist: [{timeout, 5000}, {priority, high}]. Bodies are binaries as they are (content raw), unless
%% the options say {content, term} or {content, json}.
-module(apiary).

-export([attach/1, detach/1, delegate/3, call/3, await/2, cancel/1, discover/1, claim/2, renew/2, release/1, token/1,
         memory/1, get/2, put/3, delete/2, start_queen/3, stop_queen/1]).

-type error() :: {error, {atom(), binary()}}.
-export_type([error/0]).

-spec attach(proplists:proplist()) -> {ok, term()} | error().
attach(Options) -> result('Elixir.Apiary':attach(Options)).

-spec detach(term()) -> ok.
detach(Name) -> 'Elixir.Apiary':detach(Name).

-spec delegate(binary(), iodata() | term(), proplists:proplist()) -> {ok, term()} | error().
delegate(Capability, Body, Options) -> result('Elixir.Apiary':delegate(Capability, Body, raw(Options))).

-spec call(binary(), iodata() | term(), proplists:proplist()) -> {ok, term()} | error().
call(Capability, Body, Options) -> result('Elixir.Apiary':call(Capability, Body, raw(Options))).

-spec await(term(), timeout()) -> {ok, term()} | error().
await(Task, Timeout) -> result('Elixir.Apiary':await(Task, Timeout)).

-spec cancel(term()) -> ok | error().
cancel(Task) -> result('Elixir.Apiary':cancel(Task)).

-spec discover(binary()) -> {ok, [map()]} | error().
discover(Capability) -> result('Elixir.Apiary':discover(Capability)).

%% A claim ends by release/1, or with the process.
-spec claim(binary(), timeout()) -> {ok, term()} | error().
claim(Key, Ttl) -> result('Elixir.Apiary':claim(Key, Ttl)).

-spec renew(term(), timeout()) -> ok | error().
renew(Claim, Ttl) -> result('Elixir.Apiary':renew(Claim, Ttl)).

-spec release(term()) -> ok | error().
release(Claim) -> result('Elixir.Apiary':release(Claim)).

-spec token(term()) -> pos_integer().
token(#{token := Token}) -> Token.

-spec memory(binary()) -> {ok, term()} | error().
memory(Name) -> result('Elixir.Apiary.Memory':open(Name)).

-spec get(term(), binary()) -> {ok, binary()} | error().
get(Memory, Key) ->
    case 'Elixir.Apiary.Memory':get(Memory, Key) of
        {ok, Value, _Version} -> {ok, Value};
        Error -> result(Error)
    end.

-spec put(term(), binary(), binary()) -> {ok, pos_integer()} | error().
put(Memory, Key, Value) -> result('Elixir.Apiary.Memory':put(Memory, Key, Value)).

-spec delete(term(), binary()) -> ok | error().
delete(Memory, Key) -> result('Elixir.Apiary.Memory':delete(Memory, Key)).

%% Starts a queen of a service that is linked to the caller. Fun(Capability, Body) handles its tasks, each in a process: {ok, Binary} or
%% {error, Text}.
-spec start_queen(binary(), [binary()], fun((binary(), binary()) -> {ok, iodata()} | {error, binary()})) ->
    {ok, pid()} | error().
start_queen(Service, Capabilities, Fun) ->
    Options = [{service, Service}, {capabilities, Capabilities}, {content, raw}, {as, nil},
               {handler, {'Elixir.Apiary.Fun', Fun}}],
    result('Elixir.Apiary.Queen':start_link('Elixir.Apiary.Fun', Options)).

-spec stop_queen(pid()) -> ok.
stop_queen(Queen) -> gen_server:stop(Queen).

raw(Options) ->
    case proplists:is_defined(content, Options) of
        true -> Options;
        false -> [{content, raw} | Options]
    end.

result({error, #{'__struct__' := 'Elixir.Apiary.Error', name := Name, message := Text}}) -> {error, {Name, Text}};
result({existing, _}) -> {error, {eheld, <<"another has the claim">>}};
result(Other) -> Other.
