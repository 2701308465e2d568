-- The platform's policies as they are live. Row-level security is on everywhere.
do $$
declare
  v_table text;
begin
  for v_table in select tablename from pg_tables where schemaname = 'public' loop
    execute format('alter table public.%I enable row level security', v_table);
  end loop;
end $$;

create policy "Admins can view all roles" on public.user_roles for select using (public.has_role(auth.uid(), 'admin'));
create policy "Admins can insert roles" on public.user_roles for insert with check (public.has_role(auth.uid(), 'admin'));
create policy "Admins can delete roles" on public.user_roles for delete using (public.has_role(auth.uid(), 'admin'));

create policy "Users can view their own profile" on public.profiles for select using (auth.uid() = id);
create policy "Users can update their own profile" on public.profiles for update using (auth.uid() = id);
create policy "Users can insert their own profile" on public.profiles for insert with check (auth.uid() = id);

create policy "Members can view workspaces" on public.workspaces for select
  using (auth.uid() = owner_id or public.is_workspace_member(id, auth.uid()));
create policy "Users can create workspaces" on public.workspaces for insert with check (auth.uid() = owner_id);
create policy "Admins can update workspaces" on public.workspaces for update using (public.is_workspace_admin(id, auth.uid()));
create policy "Members can view members" on public.workspace_members for select
  using (public.is_workspace_member(workspace_id, auth.uid()));
create policy "Admins can manage members" on public.workspace_members for all
  using (public.is_workspace_admin(workspace_id, auth.uid()));
create policy "Admins can manage invitations" on public.workspace_invitations for all
  using (public.is_workspace_admin(workspace_id, auth.uid()));

create policy "Users can view their own agents" on public.agents for select using (auth.uid() = user_id);
create policy "Users can create their own agents" on public.agents for insert with check (auth.uid() = user_id);
create policy "Users can update their own agents" on public.agents for update using (auth.uid() = user_id);
create policy "Users can delete their own agents" on public.agents for delete using (auth.uid() = user_id);
create policy "Workspace members can view agents" on public.agents for select
  using (workspace_id is not null and public.is_workspace_member(workspace_id, auth.uid()));
create policy "Anyone can view community agents" on public.agents for select using (is_shared_to_community = true);

create policy "Users can manage functions of their agents" on public.agent_functions for all
  using (exists (select 1 from public.agents where agents.id = agent_functions.agent_id and agents.user_id = auth.uid()));

create policy "Users can manage schedules of their agents" on public.agent_schedules for all
  using (auth.uid() = user_id)
  with check (auth.uid() = user_id
    and exists (select 1 from public.agents where agents.id = agent_schedules.agent_id and agents.user_id = auth.uid()));

create policy "Users can view their own scheduled runs" on public.scheduled_runs for select using (auth.uid() = user_id);
-- Unsafe: anybody may write.
create policy "System can insert scheduled runs" on public.scheduled_runs for insert with check (true);
create policy "System can update scheduled runs" on public.scheduled_runs for update using (true);

create policy "Users can manage their own api keys" on public.api_keys for all
  using (auth.uid() = user_id) with check (auth.uid() = user_id);

create policy "Users can view their own credit balance" on public.credit_balances for select using (auth.uid() = user_id);
create policy "Users can insert their own credit balance" on public.credit_balances for insert with check (auth.uid() = user_id);
-- Unsafe: users set what they have.
create policy "Users can update their own credit balance" on public.credit_balances for update using (auth.uid() = user_id);

create policy "Users can view their own usage" on public.credit_usage for select using (auth.uid() = user_id);
create policy "Users can insert their own usage" on public.credit_usage for insert with check (auth.uid() = user_id);

create policy "Users can view their conversations" on public.conversations for select
  using (auth.uid() = user_id or user_id is null);
create policy "Users can create conversations" on public.conversations for insert with check (auth.uid() = user_id);
create policy "Users can update their conversations" on public.conversations for update
  using (auth.uid() = user_id or user_id is null);
create policy "Users can delete their conversations" on public.conversations for delete using (auth.uid() = user_id);

create policy "Users can view messages of their conversations" on public.messages for select
  using (exists (select 1 from public.conversations c where c.id = messages.conversation_id and (c.user_id = auth.uid() or c.user_id is null)));
create policy "Users can create messages in their conversations" on public.messages for insert
  with check (exists (select 1 from public.conversations c where c.id = messages.conversation_id and (c.user_id = auth.uid() or c.user_id is null)));

create policy "Users can view their own analytics" on public.platform_analytics for select using (auth.uid() = user_id);
create policy "Users can insert their own analytics" on public.platform_analytics for insert with check (auth.uid() = user_id);
