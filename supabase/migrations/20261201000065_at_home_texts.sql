-- Finds the firings whose texts are to be erased. It may be applied again.
create index if not exists scheduled_runs_to_erase on public.scheduled_runs (completed_at)
  where generated_content is not null or result is not null or error_message is not null or error is not null;
