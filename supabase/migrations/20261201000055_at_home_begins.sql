-- These have more parameters, and PostgREST takes no two functions of one name.
drop function if exists public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb);
drop function if exists public.adopt_run(uuid, uuid, uuid, numeric, boolean, boolean);
drop function if exists public.credits_to_reserve(jsonb, jsonb);
