/** What somebody types to find a tool, with every acceptable `app/key`. */
export const queries: { query: string; expected: string[] }[] = [
  // Queries that name the app
  { query: "open a ticket in zendesk", expected: ["zendesk/create-ticket"] },
  {
    query: "post a message to a slack channel",
    expected: ["slack/send-channel-message"],
  },
  { query: "slack dm a colleague", expected: ["slack/send-direct-message"] },
  {
    query: "search gmail for messages from my boss",
    expected: ["gmail/find-email"],
  },
  { query: "reply to an email in gmail", expected: ["gmail/reply-to-email"] },
  {
    query: "create google calendar event",
    expected: [
      "google-calendar/create-event",
      "google-calendar/quick-add-event",
    ],
  },
  {
    query: "find a free slot in google calendar",
    expected: ["google-calendar/find-free-slots"],
  },
  {
    query: "upload a file to google drive",
    expected: ["google-drive/upload-file"],
  },
  {
    query: "get a shareable link to a dropbox file",
    expected: ["dropbox/create-shared-link"],
  },
  {
    query: "add a row to google sheets",
    expected: [
      "google-sheets/append-row",
      "google-sheets/append-multiple-rows",
    ],
  },
  {
    query: "read cells from an excel sheet",
    expected: ["microsoft-excel/get-range"],
  },
  {
    query: "hubspot create contact",
    expected: ["hubspot/create-contact", "hubspot/create-or-update-contact"],
  },
  {
    query: "change the stage of a deal in hubspot",
    expected: ["hubspot/update-deal"],
  },
  { query: "salesforce new lead", expected: ["salesforce/create-lead"] },
  {
    query: "list salesforce opportunities",
    expected: ["salesforce/list-opportunities"],
  },
  { query: "pipedrive mark deal as won", expected: ["pipedrive/update-deal"] },
  { query: "create jira issue", expected: ["jira/create-issue"] },
  { query: "move a jira ticket to done", expected: ["jira/transition-issue"] },
  { query: "comment on a linear issue", expected: ["linear/add-comment"] },
  {
    query: "open a pull request on github",
    expected: ["github/create-pull-request"],
  },
  {
    query: "gitlab new merge request",
    expected: ["gitlab/create-merge-request"],
  },
  { query: "asana create task", expected: ["asana/create-task"] },
  { query: "add a card to my trello board", expected: ["trello/create-card"] },
  { query: "clickup log time on a task", expected: ["clickup/log-time"] },
  {
    query: "answer a customer in intercom",
    expected: ["intercom/reply-to-conversation"],
  },
  { query: "close a freshdesk ticket", expected: ["freshdesk/update-ticket"] },
  { query: "refund a payment in stripe", expected: ["stripe/create-refund"] },
  {
    query: "stripe cancel subscription",
    expected: ["stripe/cancel-subscription"],
  },
  {
    query: "email an invoice from quickbooks",
    expected: ["quickbooks/send-invoice"],
  },
  { query: "xero profit and loss", expected: ["xero/get-profit-and-loss"] },
  {
    query: "look up an order in shopify",
    expected: ["shopify/get-order", "shopify/list-orders"],
  },
  {
    query: "change the stock level in shopify",
    expected: ["shopify/adjust-inventory"],
  },
  {
    query: "woocommerce create coupon",
    expected: ["woocommerce/create-coupon"],
  },
  {
    query: "add someone to a mailchimp list",
    expected: ["mailchimp/add-subscriber"],
  },
  { query: "twilio send sms", expected: ["twilio/send-sms"] },
  { query: "schedule a zoom meeting", expected: ["zoom/create-meeting"] },
  {
    query: "get the recording of a zoom call",
    expected: ["zoom/get-meeting-recording"],
  },
  { query: "calendly cancel appointment", expected: ["calendly/cancel-event"] },
  { query: "add a page in notion", expected: ["notion/create-page"] },
  { query: "query a notion database", expected: ["notion/query-database"] },
  { query: "airtable update record", expected: ["airtable/update-record"] },
  { query: "bamboohr who is on leave", expected: ["bamboohr/whos-out"] },
  {
    query: "greenhouse schedule an interview",
    expected: ["greenhouse/schedule-interview"],
  },
  {
    query: "send a document for signature with docusign",
    expected: [
      "docusign/send-envelope",
      "docusign/send-envelope-from-template",
    ],
  },
  { query: "typeform get responses", expected: ["typeform/get-responses"] },
  {
    query: "post on linkedin",
    expected: ["linkedin/create-post", "linkedin/create-company-post"],
  },
  { query: "discord ban a user", expected: ["discord/ban-member"] },
  { query: "put a file in an s3 bucket", expected: ["aws-s3/upload-object"] },
  {
    query: "resolve a pagerduty incident",
    expected: ["pagerduty/resolve-incident"],
  },
  {
    query: "sentry latest errors in a project",
    expected: ["sentry/list-issues"],
  },
  { query: "confluence create page", expected: ["confluence/create-page"] },
  { query: "export figma frames as png", expected: ["figma/export-images"] },
  { query: "wordpress new blog post", expected: ["wordpress/create-post"] },
  { query: "run sql on snowflake", expected: ["snowflake/run-query"] },
  { query: "upload a video to youtube", expected: ["youtube/upload-video"] },

  // Queries that do not name an app: every equivalent action counts
  {
    query: "send somebody an email",
    expected: ["gmail/send-email", "outlook/send-email", "sendgrid/send-email"],
  },
  {
    query: "send a message to a channel",
    expected: [
      "slack/send-channel-message",
      "microsoft-teams/send-channel-message",
      "discord/send-channel-message",
      "telegram/send-message",
    ],
  },
  {
    query: "send a direct message",
    expected: [
      "slack/send-direct-message",
      "discord/send-direct-message",
      "microsoft-teams/send-chat-message",
      "x/send-direct-message",
      "instagram/send-direct-message",
      "telegram/send-message",
      "facebook-pages/send-page-message",
      "whatsapp-business/send-message",
    ],
  },
  {
    query: "create a calendar event",
    expected: [
      "google-calendar/create-event",
      "google-calendar/quick-add-event",
      "outlook/create-event",
    ],
  },
  {
    query: "create a contact",
    expected: [
      "hubspot/create-contact",
      "hubspot/create-or-update-contact",
      "salesforce/create-contact",
      "pipedrive/create-person",
      "zoho-crm/create-contact",
      "outlook/create-contact",
      "google-contacts/create-contact",
      "intercom/create-contact",
      "freshdesk/create-contact",
      "xero/create-contact",
      "pandadoc/create-contact",
      "surveymonkey/create-contact",
      "sendgrid/add-contact",
      "mailchimp/add-subscriber",
    ],
  },
  {
    query: "find a contact by email address",
    expected: [
      "hubspot/find-contact",
      "outlook/find-contact",
      "google-contacts/find-contact",
      "intercom/find-contact",
      "pipedrive/find-person",
      "salesforce/find-record",
      "zoho-crm/search-records",
      "mailchimp/find-subscriber",
      "zendesk/find-user",
    ],
  },
  {
    query: "create a task",
    expected: [
      "asana/create-task",
      "clickup/create-task",
      "todoist/create-task",
      "trello/create-card",
      "jira/create-issue",
      "linear/create-issue",
      "monday/create-item",
      "hubspot/create-task",
      "salesforce/create-task",
      "zoho-crm/create-task",
    ],
  },
  {
    query: "mark a task as complete",
    expected: [
      "asana/complete-task",
      "todoist/complete-task",
      "clickup/update-task",
      "jira/transition-issue",
      "linear/update-issue",
    ],
  },
  {
    query: "create a support ticket",
    expected: [
      "zendesk/create-ticket",
      "freshdesk/create-ticket",
      "intercom/create-ticket",
      "hubspot/create-ticket",
      "salesforce/create-case",
      "help-scout/create-conversation",
    ],
  },
  {
    query: "create an invoice",
    expected: [
      "stripe/create-invoice",
      "paypal/create-invoice",
      "quickbooks/create-invoice",
      "xero/create-invoice",
    ],
  },
  {
    query: "refund a customer",
    expected: [
      "stripe/create-refund",
      "paypal/refund-payment",
      "shopify/refund-order",
      "woocommerce/refund-order",
    ],
  },
  {
    query: "upload a file",
    expected: [
      "google-drive/upload-file",
      "dropbox/upload-file",
      "onedrive/upload-file",
      "aws-s3/upload-object",
      "slack/upload-file",
      "openai/upload-file",
    ],
  },
  {
    query: "create a sharing link for a file",
    expected: [
      "dropbox/create-shared-link",
      "onedrive/create-sharing-link",
      "google-drive/share-file",
      "aws-s3/create-presigned-url",
    ],
  },
  {
    query: "create a folder",
    expected: [
      "google-drive/create-folder",
      "dropbox/create-folder",
      "onedrive/create-folder",
      "clickup/create-folder",
    ],
  },
  {
    query: "add a row to a spreadsheet",
    expected: [
      "google-sheets/append-row",
      "google-sheets/append-multiple-rows",
      "microsoft-excel/add-row",
    ],
  },
  {
    query: "create a pull request",
    expected: [
      "github/create-pull-request",
      "bitbucket/create-pull-request",
      "gitlab/create-merge-request",
    ],
  },
  {
    query: "merge a pull request",
    expected: [
      "github/merge-pull-request",
      "bitbucket/merge-pull-request",
      "gitlab/merge-merge-request",
    ],
  },
  {
    query: "report a bug",
    expected: [
      "jira/create-issue",
      "linear/create-issue",
      "github/create-issue",
      "gitlab/create-issue",
    ],
  },
  {
    query: "search issues",
    expected: [
      "jira/search-issues",
      "linear/search-issues",
      "linear/list-issues",
      "github/search-issues",
      "sentry/list-issues",
    ],
  },
  {
    query: "create a deal",
    expected: [
      "hubspot/create-deal",
      "pipedrive/create-deal",
      "zoho-crm/create-deal",
      "salesforce/create-opportunity",
    ],
  },
  {
    query: "update the amount of a deal",
    expected: [
      "hubspot/update-deal",
      "pipedrive/update-deal",
      "zoho-crm/update-deal",
      "salesforce/update-opportunity",
    ],
  },
  {
    query: "create a lead",
    expected: [
      "salesforce/create-lead",
      "pipedrive/create-lead",
      "zoho-crm/create-lead",
      "intercom/create-contact",
    ],
  },
  {
    query: "add a note to a contact",
    expected: [
      "hubspot/add-note",
      "pipedrive/add-note",
      "zoho-crm/add-note",
      "intercom/add-note",
    ],
  },
  {
    query: "subscribe an email address to a newsletter",
    expected: [
      "mailchimp/add-subscriber",
      "klaviyo/subscribe-profile",
      "sendgrid/add-contact",
      "hubspot/add-contact-to-list",
    ],
  },
  {
    query: "unsubscribe someone from a mailing list",
    expected: [
      "mailchimp/unsubscribe",
      "klaviyo/unsubscribe-profile",
      "sendgrid/add-to-suppression-group",
    ],
  },
  {
    query: "schedule an online meeting",
    expected: [
      "zoom/create-meeting",
      "microsoft-teams/create-online-meeting",
      "outlook/create-event",
    ],
  },
  {
    query: "send a document for e-signature",
    expected: [
      "docusign/send-envelope",
      "docusign/send-envelope-from-template",
      "pandadoc/send-document",
    ],
  },
  {
    query: "get form responses",
    expected: [
      "typeform/get-responses",
      "google-forms/list-responses",
      "google-forms/get-response",
      "surveymonkey/get-responses",
      "webflow/list-form-submissions",
      "linkedin/list-lead-form-responses",
    ],
  },
  {
    query: "search help center articles",
    expected: ["zendesk/search-articles", "freshdesk/search-solutions"],
  },
  {
    query: "request time off",
    expected: [
      "bamboohr/create-time-off-request",
      "gusto/create-time-off-request",
      "workday/request-time-off",
    ],
  },
  {
    query: "add a new employee",
    expected: [
      "bamboohr/create-employee",
      "gusto/create-employee",
      "workday/hire-employee",
    ],
  },
  {
    query: "who is on call",
    expected: ["pagerduty/list-on-calls", "opsgenie/get-on-call"],
  },
  {
    query: "create an incident",
    expected: [
      "pagerduty/create-incident",
      "datadog/create-incident",
      "opsgenie/create-incident",
    ],
  },
  {
    query: "acknowledge an alert",
    expected: ["opsgenie/acknowledge-alert", "pagerduty/acknowledge-incident"],
  },
  {
    query: "run a sql query",
    expected: ["snowflake/run-query", "postgresql/run-query"],
  },
  {
    query: "insert a row into a sql table",
    expected: [
      "snowflake/insert-row",
      "postgresql/insert-row",
      "postgresql/upsert-row",
    ],
  },
  {
    query: "publish a blog post",
    expected: ["wordpress/create-post", "confluence/create-blog-post"],
  },
  {
    query: "upload an image to the media library",
    expected: ["wordpress/upload-media", "contentful/upload-asset"],
  },
  {
    query: "post something on social media",
    expected: [
      "linkedin/create-post",
      "linkedin/create-company-post",
      "x/create-post",
      "facebook-pages/create-page-post",
      "facebook-pages/create-page-photo",
      "facebook-pages/create-page-video",
      "instagram/publish-photo",
      "instagram/publish-video",
      "instagram/publish-story",
    ],
  },
  {
    query: "reply to a comment under a post or video",
    expected: [
      "facebook-pages/reply-to-comment",
      "instagram/reply-to-comment",
      "youtube/reply-to-comment",
    ],
  },
  {
    query: "create an order",
    expected: [
      "shopify/create-order",
      "shopify/create-draft-order",
      "woocommerce/create-order",
      "paypal/create-order",
    ],
  },
  {
    query: "list recent orders",
    expected: [
      "shopify/list-orders",
      "woocommerce/list-orders",
      "webflow/list-orders",
    ],
  },
  {
    query: "create a discount code",
    expected: [
      "shopify/create-discount-code",
      "woocommerce/create-coupon",
      "stripe/create-coupon",
    ],
  },
  {
    query: "update a product's price",
    expected: ["shopify/update-product", "woocommerce/update-product"],
  },
  {
    query: "start a timer",
    expected: ["clickup/start-timer", "toggl-track/start-timer"],
  },
  {
    query: "create a survey",
    expected: [
      "surveymonkey/create-survey",
      "typeform/create-form",
      "google-forms/create-form",
    ],
  },
  {
    query: "download a file",
    expected: [
      "google-drive/download-file",
      "dropbox/download-file",
      "onedrive/download-file",
      "aws-s3/download-object",
    ],
  },
  {
    query: "delete a file",
    expected: [
      "google-drive/delete-file",
      "dropbox/delete-file",
      "onedrive/delete-item",
      "aws-s3/delete-object",
    ],
  },
  {
    query: "create a channel",
    expected: [
      "slack/create-channel",
      "microsoft-teams/create-channel",
      "discord/create-channel",
    ],
  },
  {
    query: "add an emoji reaction to a message",
    expected: ["slack/add-reaction", "discord/add-reaction"],
  },
  {
    query: "website traffic report",
    expected: [
      "google-analytics/run-report",
      "google-analytics/get-traffic-sources",
      "google-analytics/get-top-pages",
    ],
  },
  {
    query: "comment on a task",
    expected: [
      "asana/add-comment",
      "clickup/add-comment",
      "trello/add-comment",
      "todoist/add-comment",
      "monday/create-update",
      "jira/add-comment",
      "linear/add-comment",
    ],
  },
  {
    query: "save a draft email",
    expected: ["gmail/create-draft", "outlook/create-draft-email"],
  },
  {
    query: "find a customer",
    expected: [
      "stripe/find-customer",
      "quickbooks/find-customer",
      "shopify/find-customer",
      "zendesk/find-user",
      "intercom/find-contact",
    ],
  },
  {
    query: "move a file to another folder",
    expected: [
      "google-drive/move-file",
      "dropbox/move-file",
      "onedrive/move-item",
    ],
  },
  {
    query: "edit a message that was already sent",
    expected: [
      "slack/update-message",
      "discord/edit-message",
      "telegram/edit-message",
    ],
  },

  // Other words than the action's title
  {
    query: "bill a customer",
    expected: [
      "stripe/create-invoice",
      "paypal/create-invoice",
      "quickbooks/create-invoice",
      "xero/create-invoice",
      "stripe/create-payment-intent",
    ],
  },
  {
    query: "invite people to a meeting",
    expected: [
      "google-calendar/create-event",
      "google-calendar/add-attendee",
      "google-calendar/update-event",
      "outlook/create-event",
      "outlook/update-event",
      "microsoft-teams/create-online-meeting",
      "zoom/add-meeting-registrant",
    ],
  },
  {
    query: "who is off next week",
    expected: ["bamboohr/whos-out", "workday/list-absences"],
  },
  {
    query: "give a buyer their money back",
    expected: [
      "stripe/create-refund",
      "paypal/refund-payment",
      "shopify/refund-order",
      "woocommerce/refund-order",
    ],
  },
  {
    query: "how many vacation days do I have left",
    expected: ["bamboohr/get-time-off-balance", "workday/get-absence-balance"],
  },
  {
    query: "am I busy on thursday afternoon",
    expected: [
      "google-calendar/find-free-slots",
      "google-calendar/find-events",
      "outlook/get-free-busy",
      "outlook/list-events",
    ],
  },
  {
    query: "let the team know the deploy is finished",
    expected: [
      "slack/send-channel-message",
      "microsoft-teams/send-channel-message",
      "discord/send-channel-message",
      "telegram/send-message",
      "microsoft-teams/send-chat-message",
    ],
  },
  {
    query: "book a holiday for me",
    expected: [
      "bamboohr/create-time-off-request",
      "gusto/create-time-off-request",
      "workday/request-time-off",
    ],
  },
  {
    query: "get a contract signed",
    expected: [
      "docusign/send-envelope",
      "docusign/send-envelope-from-template",
      "pandadoc/send-document",
    ],
  },
  {
    query: "what is broken in production right now",
    expected: [
      "sentry/list-issues",
      "pagerduty/list-incidents",
      "opsgenie/list-alerts",
      "datadog/list-monitors",
    ],
  },
  {
    query: "wake up the engineer on duty",
    expected: [
      "pagerduty/create-incident",
      "pagerduty/trigger-event",
      "opsgenie/create-alert",
      "opsgenie/create-incident",
    ],
  },
  {
    query: "are we making money this quarter",
    expected: ["quickbooks/get-profit-and-loss", "xero/get-profit-and-loss"],
  },
  {
    query: "which clients still owe us money",
    expected: ["xero/get-aged-receivables", "xero/find-invoice"],
  },
  { query: "ring somebody up", expected: ["twilio/make-call"] },
  {
    query: "tell people I am on vacation",
    expected: [
      "gmail/set-vacation-responder",
      "outlook/set-automatic-replies",
      "slack/set-status",
      "microsoft-teams/set-presence",
    ],
  },
  {
    query: "say no to a job applicant",
    expected: ["greenhouse/reject-application"],
  },
  { query: "pay our staff their wages", expected: ["gusto/run-payroll"] },
  {
    query: "what did people say in the questionnaire",
    expected: [
      "typeform/get-responses",
      "google-forms/list-responses",
      "google-forms/get-response",
      "surveymonkey/get-responses",
      "webflow/list-form-submissions",
      "surveymonkey/get-response-summary",
    ],
  },
  {
    query: "tell the shopper their parcel is on its way",
    expected: ["shopify/fulfill-order", "webflow/fulfill-order"],
  },
  {
    query: "write out what was said in the call",
    expected: [
      "microsoft-teams/get-meeting-transcript",
      "zoom/get-meeting-recording",
      "zoom/get-meeting-summary",
      "openai/transcribe-audio",
    ],
  },
  {
    query: "make an illustration with ai",
    expected: ["openai/generate-image"],
  },
  {
    query: "note down the hours I worked",
    expected: [
      "clickup/log-time",
      "toggl-track/create-time-entry",
      "jira/log-work",
    ],
  },
  {
    query: "claim back what I paid for lunch",
    expected: [
      "expensify/create-expense",
      "expensify/upload-receipt",
      "expensify/create-report",
      "workday/submit-expense-report",
    ],
  },
  {
    query: "somebody quit, end their contract",
    expected: ["workday/terminate-employee", "gusto/terminate-employee"],
  },
  {
    query: "remind me about something tomorrow",
    expected: [
      "slack/create-reminder",
      "todoist/create-task",
      "asana/create-task",
      "clickup/create-task",
    ],
  },
  {
    query: "stop charging a client every month",
    expected: ["stripe/cancel-subscription", "paypal/cancel-subscription"],
  },
  {
    query: "how did our newsletter perform",
    expected: [
      "mailchimp/get-campaign-report",
      "klaviyo/get-campaign-metrics",
      "sendgrid/get-email-stats",
    ],
  },
  {
    query: "go back to an older copy of a document",
    expected: ["dropbox/restore-file-version"],
  },
  {
    query: "ship a new version of our code with a changelog",
    expected: ["github/create-release", "gitlab/create-release"],
  },

  // Typos and cut-off words
  {
    query: "salesfroce opportunties",
    expected: [
      "salesforce/list-opportunities",
      "salesforce/create-opportunity",
      "salesforce/update-opportunity",
    ],
  },
  {
    query: "calender event",
    expected: [
      "google-calendar/create-event",
      "google-calendar/quick-add-event",
      "google-calendar/update-event",
      "google-calendar/delete-event",
      "google-calendar/find-events",
      "google-calendar/get-event",
      "outlook/create-event",
      "outlook/update-event",
      "outlook/delete-event",
      "outlook/list-events",
    ],
  },
  {
    query: "pagerd incid",
    expected: [
      "pagerduty/create-incident",
      "pagerduty/acknowledge-incident",
      "pagerduty/resolve-incident",
      "pagerduty/list-incidents",
      "pagerduty/add-incident-note",
      "pagerduty/reassign-incident",
      "pagerduty/snooze-incident",
    ],
  },
  {
    query: "send emial",
    expected: ["gmail/send-email", "outlook/send-email", "sendgrid/send-email"],
  },
  {
    query: "hubspto contcat",
    expected: [
      "hubspot/create-contact",
      "hubspot/update-contact",
      "hubspot/find-contact",
      "hubspot/create-or-update-contact",
      "hubspot/add-contact-to-list",
    ],
  },
  { query: "creat jria tiket", expected: ["jira/create-issue"] },
  {
    query: "send slak mesage",
    expected: ["slack/send-channel-message", "slack/send-direct-message"],
  },
  { query: "goggle drive uplaod", expected: ["google-drive/upload-file"] },
  { query: "stripe refnd", expected: ["stripe/create-refund"] },
  {
    query: "shopfy ordr",
    expected: [
      "shopify/create-order",
      "shopify/get-order",
      "shopify/list-orders",
      "shopify/cancel-order",
      "shopify/fulfill-order",
      "shopify/refund-order",
      "shopify/create-draft-order",
    ],
  },
  {
    query: "zendsk tickt",
    expected: [
      "zendesk/create-ticket",
      "zendesk/update-ticket",
      "zendesk/get-ticket",
      "zendesk/search-tickets",
      "zendesk/merge-tickets",
      "zendesk/delete-ticket",
      "zendesk/add-comment",
      "zendesk/list-ticket-comments",
    ],
  },
  {
    query: "githb pull requst",
    expected: [
      "github/create-pull-request",
      "github/merge-pull-request",
      "github/list-pull-requests",
      "github/request-review",
    ],
  },
  {
    query: "trelo card",
    expected: [
      "trello/create-card",
      "trello/update-card",
      "trello/move-card",
      "trello/archive-card",
      "trello/search-cards",
      "trello/add-comment",
      "trello/add-checklist",
      "trello/add-label",
      "trello/add-member",
      "trello/attach-file",
    ],
  },
  {
    query: "add atendee to event",
    expected: [
      "google-calendar/add-attendee",
      "google-calendar/update-event",
      "outlook/update-event",
    ],
  },
  {
    query: "quickboks invoce",
    expected: [
      "quickbooks/create-invoice",
      "quickbooks/send-invoice",
      "quickbooks/find-invoice",
    ],
  },
  {
    query: "mailchmp subscrib",
    expected: [
      "mailchimp/add-subscriber",
      "mailchimp/update-subscriber",
      "mailchimp/find-subscriber",
      "mailchimp/tag-subscriber",
    ],
  },
  {
    query: "add row spreadshet",
    expected: [
      "google-sheets/append-row",
      "google-sheets/append-multiple-rows",
      "microsoft-excel/add-row",
    ],
  },
  {
    query: "docusgn envelop",
    expected: [
      "docusign/send-envelope",
      "docusign/send-envelope-from-template",
      "docusign/create-draft-envelope",
      "docusign/get-envelope-status",
      "docusign/list-envelopes",
      "docusign/void-envelope",
      "docusign/resend-envelope",
      "docusign/download-signed-document",
    ],
  },
  {
    query: "whatsap mesage",
    expected: [
      "whatsapp-business/send-message",
      "whatsapp-business/send-template-message",
      "whatsapp-business/send-media",
      "twilio/send-whatsapp-message",
    ],
  },
  { query: "zoom create meetin", expected: ["zoom/create-meeting"] },
  {
    query: "confluenc pag",
    expected: [
      "confluence/create-page",
      "confluence/update-page",
      "confluence/get-page",
      "confluence/delete-page",
      "confluence/list-pages",
    ],
  },
  {
    query: "notoin databse",
    expected: [
      "notion/query-database",
      "notion/create-database",
      "notion/create-database-item",
      "notion/update-database-item",
    ],
  },
  {
    query: "employe directry",
    expected: [
      "bamboohr/list-employees",
      "gusto/list-employees",
      "workday/search-workers",
      "google-contacts/list-directory-people",
    ],
  },
  {
    query: "cancle subscripton",
    expected: ["stripe/cancel-subscription", "paypal/cancel-subscription"],
  },
  {
    query: "discrod chanel",
    expected: ["discord/create-channel", "discord/send-channel-message"],
  },
  {
    query: "new reposit",
    expected: [
      "github/create-repository",
      "bitbucket/create-repository",
      "gitlab/create-project",
    ],
  },
  {
    query: "linkdin pst",
    expected: ["linkedin/create-post", "linkedin/create-company-post"],
  },
  { query: "asan complet task", expected: ["asana/complete-task"] },
  { query: "sched interv", expected: ["greenhouse/schedule-interview"] },
  { query: "gitlb run pipline", expected: ["gitlab/run-pipeline"] },
];
