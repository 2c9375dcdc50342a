"""The appliance: mail transport, encryption policy, commands, and the wiring of it all."""
