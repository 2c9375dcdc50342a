"""The portal: accounts, sign-in, and the pages that patients and staff use."""
