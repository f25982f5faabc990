package org.apache.kafka.connect.util.clusters;

import its.Program;
import java.net.URI;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;

/**
 * Stands where Kafka's class of this name would: a worker that {@link EmbeddedConnectCluster} starts is
 * {@code crosscurrent connect}. That is one node, so all workers of a group are handles to one process, which the last
 * one to stop ends.
 */
public class WorkerHandle {
    private static final Map<String, Group> GROUPS = new HashMap<>();

    private record Group(Program program, Set<String> members) { }

    private final String name;
    private final String group;
    private final Program program;

    private WorkerHandle(String name, String group, Program program) {
        this.name = name;
        this.group = group;
        this.program = program;
    }

    public static WorkerHandle start(String name, Map<String, String> config) {
        synchronized (GROUPS) {
            String group = config.get("group.id") + "@" + config.get("bootstrap.servers");
            Group running = GROUPS.computeIfAbsent(group, g -> new Group(new Program("connect", config), new HashSet<>()));
            running.members.add(name);
            return new WorkerHandle(name, group, running.program);
        }
    }

    public void stop() {
        synchronized (GROUPS) {
            Group running = GROUPS.get(group);
            if (running != null && running.members.remove(name) && running.members.isEmpty()) {
                GROUPS.remove(group);
                running.program.stop();
            }
        }
    }

    public Future<?> herderTask() {
        return CompletableFuture.completedFuture(null);
    }

    public URI url() {
        return program.url();
    }

    public URI adminUrl() {
        return program.url();
    }

    /** Our limits are not for tests to change. */
    public void requestTimeout(long ignored) { }

    public void resetRequestTimeout() { }

    @Override
    public String toString() {
        return name + " at " + program.url();
    }
}
