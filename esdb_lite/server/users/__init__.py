"""Who may come in: users as the log keeps them, passwords, logins that are remembered."""
