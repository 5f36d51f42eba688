"""Who may log in: users as the log keeps them, passwords, remembered logins."""
