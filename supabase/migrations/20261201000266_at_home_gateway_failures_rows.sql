-- Answers that did not end by `stop` were kept for others: halves, refusals of a filter, and what ended without saying how.
delete from public.response_cache where finish_reason is distinct from 'stop';
