ALTER TABLE `sessions` ADD `log_level` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `subscriptions` text;--> statement-breakpoint
CREATE INDEX `chats_last_seen` ON `chats` (`last_seen_at`);