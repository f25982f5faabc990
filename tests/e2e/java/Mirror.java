import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.connect.mirror.MirrorClient;
import org.apache.kafka.connect.mirror.RemoteClusterUtils;

/** What Kafka's own library for MirrorMaker 2 says of a cluster: Mirror BOOTSTRAP ALIAS GROUP ... */
public class Mirror {
    public static void main(String[] args) throws Exception {
        Map<String, Object> properties = Map.of("bootstrap.servers", args[0]);
        String alias = args[1];
        try (MirrorClient client = new MirrorClient(properties)) {
            System.out.println("heartbeats " + new TreeSet<>(client.heartbeatTopics()));
            System.out.println("checkpoints " + new TreeSet<>(client.checkpointTopics()));
            System.out.println("upstream " + new TreeSet<>(client.upstreamClusters()));
            System.out.println("hops " + client.replicationHops(alias));
            System.out.println("remote " + new TreeSet<>(client.remoteTopics(alias)));
            for (int at = 2; at < args.length; at++) {
                var offsets = client.remoteConsumerOffsets(args[at], alias, Duration.ofSeconds(30));
                System.out.println("client " + args[at] + " " + sorted(offsets));
            }
        }
        for (int at = 2; at < args.length; at++) {
            var offsets = RemoteClusterUtils.translateOffsets(properties, alias, args[at], Duration.ofSeconds(30));
            System.out.println("utils " + args[at] + " " + sorted(offsets));
        }
    }

    private static Map<String, Long> sorted(
            Map<org.apache.kafka.common.TopicPartition, org.apache.kafka.clients.consumer.OffsetAndMetadata> offsets) {
        Map<String, Long> sorted = new TreeMap<>();
        offsets.forEach((partition, offset) -> sorted.put(partition.toString(), offset.offset()));
        return sorted;
    }
}
