-- Beside the reason of a run's end: why the gateway failed, try by try. A run that succeeded in the end has no reason.
alter table public.agent_run_failures add column if not exists failures jsonb not null default '[]';
alter table public.agent_run_failures alter column reason drop not null;
