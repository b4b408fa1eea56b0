"""The Kafka bus: everything that imports aiokafka, and nobody else does. Imported only when the bus is Kafka."""
