CREATE TABLE `api_keys` (
	`id` text PRIMARY KEY NOT NULL,
	`workspace` text NOT NULL,
	`subject` text NOT NULL,
	`name` text NOT NULL,
	`hash` text NOT NULL,
	`scope` text NOT NULL,
	`created_by` text,
	`created_at` integer NOT NULL,
	`expires_at` integer,
	`last_used_at` integer,
	`revoked_at` integer
) STRICT;
--> statement-breakpoint
CREATE INDEX `api_keys_workspace` ON `api_keys` (`workspace`);--> statement-breakpoint
CREATE TABLE `credentials` (
	`server_id` integer NOT NULL,
	`subject` text NOT NULL,
	`name` text,
	`auth_type` text NOT NULL,
	`status` text NOT NULL,
	`sealed` text,
	`refreshing_at` integer,
	`version` integer NOT NULL,
	`connected_at` integer NOT NULL,
	`expires_at` integer,
	`last_used_at` integer,
	PRIMARY KEY(`server_id`, `subject`),
	FOREIGN KEY (`server_id`) REFERENCES `servers`(`id`) ON UPDATE no action ON DELETE cascade
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `definitions` (
	`server_id` integer NOT NULL,
	`tool` text NOT NULL,
	`hash` text NOT NULL,
	`first_seen_at` integer NOT NULL,
	`approved_at` integer,
	`approved_by` text,
	PRIMARY KEY(`server_id`, `tool`, `hash`),
	FOREIGN KEY (`server_id`) REFERENCES `servers`(`id`) ON UPDATE no action ON DELETE cascade
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `icons` (
	`server_id` integer PRIMARY KEY NOT NULL,
	`type` text NOT NULL,
	`etag` text NOT NULL,
	`bytes` blob NOT NULL,
	`fetched_at` integer NOT NULL,
	FOREIGN KEY (`server_id`) REFERENCES `servers`(`id`) ON UPDATE no action ON DELETE cascade
) STRICT;
--> statement-breakpoint
CREATE TABLE `listings` (
	`server_id` integer NOT NULL,
	`subject` text NOT NULL,
	`listing` text NOT NULL,
	`fetched_at` integer NOT NULL,
	PRIMARY KEY(`server_id`, `subject`),
	FOREIGN KEY (`server_id`) REFERENCES `servers`(`id`) ON UPDATE no action ON DELETE cascade
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `oauth_flows` (
	`state_hash` text PRIMARY KEY NOT NULL,
	`server_id` integer NOT NULL,
	`workspace` text NOT NULL,
	`subject` text NOT NULL,
	`browser_hash` text NOT NULL,
	`sealed` text NOT NULL,
	`expires_at` integer NOT NULL,
	FOREIGN KEY (`server_id`) REFERENCES `servers`(`id`) ON UPDATE no action ON DELETE cascade
) STRICT;
--> statement-breakpoint
CREATE INDEX `oauth_flows_expires` ON `oauth_flows` (`expires_at`);--> statement-breakpoint
CREATE TABLE `servers` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`uuid` text NOT NULL,
	`workspace` text NOT NULL,
	`name` text NOT NULL,
	`slug` text NOT NULL,
	`description` text,
	`url` text NOT NULL,
	`transport` text NOT NULL,
	`command` text,
	`auth_type` text NOT NULL,
	`app_uuid` text,
	`sealed_secret` text,
	`state` text NOT NULL,
	`enabled` integer NOT NULL,
	`setup_step` text,
	`oauth` text,
	`sealed_oauth` text,
	`about` text,
	`pinned` integer NOT NULL,
	`last_checked_at` integer,
	`last_latency_ms` integer,
	`last_error` text,
	`version` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`created_by` text
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `servers_uuid` ON `servers` (`uuid`);--> statement-breakpoint
CREATE UNIQUE INDEX `servers_slug` ON `servers` (`workspace`,`slug`);--> statement-breakpoint
DROP INDEX `chats_identity_chat`;--> statement-breakpoint
ALTER TABLE `chats` ADD `server` text DEFAULT '' NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX `chats_identity_chat` ON `chats` (`workspace`,`subject`,`chat`,`server`);--> statement-breakpoint
ALTER TABLE `sessions` ADD `server` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `listed_prompts` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `listed_resources` text;--> statement-breakpoint
CREATE INDEX `sessions_subscribed` ON `sessions` (`workspace`,`subject`) WHERE "sessions"."subscriptions" IS NOT NULL;