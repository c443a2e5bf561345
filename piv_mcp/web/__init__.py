"""The local web app: the webhook endpoint and the approval page."""
