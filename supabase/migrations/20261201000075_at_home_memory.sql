-- What is needed to know how much memory a run's input takes. It may be applied again.

alter table public.agent_run_inputs add column if not exists bytes integer;

-- They have more arguments now, and one name may not stand for two functions.
drop function if exists public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb);
drop function if exists public.adopt_run(uuid, uuid, uuid, numeric, boolean, boolean);
drop function if exists public.take_run(uuid, uuid, numeric, integer, boolean, boolean);
drop function if exists public.claim_run(uuid, uuid, numeric, integer, boolean, integer, boolean);
drop function if exists public.claim_runs(uuid, numeric, integer, integer, boolean, boolean, boolean);
