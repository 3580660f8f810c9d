CREATE TABLE `calls` (
	`call_id` integer PRIMARY KEY NOT NULL,
	`stream_id` integer NOT NULL,
	`session_pk` integer NOT NULL,
	`request_id` text NOT NULL
) STRICT;
--> statement-breakpoint
CREATE INDEX `calls_session` ON `calls` (`session_pk`);--> statement-breakpoint
CREATE TABLE `chats` (
	`pk` integer PRIMARY KEY NOT NULL,
	`workspace` text NOT NULL,
	`subject` text NOT NULL,
	`chat` text NOT NULL,
	`mode` text NOT NULL,
	`apps` text,
	`enabled` text NOT NULL,
	`created_at` integer NOT NULL,
	`last_seen_at` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `chats_identity_chat` ON `chats` (`workspace`,`subject`,`chat`);--> statement-breakpoint
CREATE TABLE `events` (
	`stream_id` integer NOT NULL,
	`seq` integer NOT NULL,
	`session_pk` integer NOT NULL,
	`data` text NOT NULL,
	`at` integer NOT NULL,
	PRIMARY KEY(`stream_id`, `seq`)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `events_session` ON `events` (`session_pk`);--> statement-breakpoint
CREATE TABLE `meta` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
) STRICT;
--> statement-breakpoint
CREATE TABLE `names` (
	`workspace` text NOT NULL,
	`subject` text NOT NULL,
	`ref` text NOT NULL,
	`name` text NOT NULL,
	`position` integer NOT NULL,
	PRIMARY KEY(`workspace`, `subject`, `ref`)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `sessions` (
	`pk` integer PRIMARY KEY NOT NULL,
	`id` text NOT NULL,
	`workspace` text NOT NULL,
	`subject` text NOT NULL,
	`chat_pk` integer,
	`protocol_version` text NOT NULL,
	`client` text,
	`capabilities` text NOT NULL,
	`mode` text NOT NULL,
	`apps` text,
	`enabled` text NOT NULL,
	`listed` text,
	`ticket_hash` text,
	`created_at` integer NOT NULL,
	`last_seen_at` integer NOT NULL,
	FOREIGN KEY (`chat_pk`) REFERENCES `chats`(`pk`) ON UPDATE no action ON DELETE no action
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `sessions_id` ON `sessions` (`id`);--> statement-breakpoint
CREATE UNIQUE INDEX `sessions_chat` ON `sessions` (`chat_pk`) WHERE "sessions"."chat_pk" IS NOT NULL;--> statement-breakpoint
CREATE INDEX `sessions_last_seen` ON `sessions` (`last_seen_at`);