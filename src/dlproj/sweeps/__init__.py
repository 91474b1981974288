"""Many runs: jobs in processes of their own."""
