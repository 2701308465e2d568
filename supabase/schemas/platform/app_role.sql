create type public.app_role as enum ('admin', 'moderator', 'user');
