"""The Hub: access rights, downloads, the files of a push, the secret scan, retries and the upload."""
