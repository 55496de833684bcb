defmodule Apiary.NIF do
  @moduledoc false
  # The functions of c_src, where each says what it takes and gives. Where $APIARY_NIF names it, the object is that one.
  @on_load :load

  def load do
    path = System.get_env("APIARY_NIF") || Path.join(:code.priv_dir(:apiary), "apiary_nif")
    :erlang.load_nif(String.to_charlist(String.replace_suffix(path, ".so", "")), 0)
  end

  for {name, arity} <- [
        version: 0,
        options: 0,
        errors: 0,
        attach: 4,
        detach: 1,
        lane_ready: 1,
        delegate: 4,
        task_arm: 4,
        task_disarm: 1,
        task_cancel: 1,
        task_progress: 1,
        task_name: 1,
        discover: 2,
        instances: 3,
        swarm_status: 2,
        claim: 6,
        claim_renew: 2,
        claim_release: 1,
        claim_check: 3,
        memory_open: 3,
        memory_get: 2,
        memory_set: 6,
        memory_delete: 2,
        memory_incr: 3,
        memory_touch: 3,
        memory_scan: 3,
        memory_watch: 4,
        instance_watch: 5,
        watch_stop: 1,
        queen_start: 3,
        queen_stop: 2,
        agent_new: 2,
        agent_bind: 2,
        agent_delegate: 6,
        job_reply: 2,
        job_fail: 4,
        job_beat: 2,
        job_cancelled: 1,
        job_delegate: 5,
        job_part: 3
      ] do
    arguments = for i <- 1..arity//1, do: Macro.var(:"_#{i}", __MODULE__)
    def unquote(name)(unquote_splicing(arguments)), do: :erlang.nif_error(:not_loaded)
  end
end
