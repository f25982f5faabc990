package org.apache.kafka.connect.mirror;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import its.Program;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.errors.NotFoundException;
import org.apache.kafka.connect.runtime.rest.entities.ConnectorStateInfo;
import org.apache.kafka.connect.runtime.rest.entities.TaskInfo;
import org.apache.kafka.connect.util.Callback;

/**
 * Stands where Kafka's class of this name would: a dedicated MirrorMaker is {@code crosscurrent run}, and what tests
 * ask its herders is asked through REST.
 */
public class MirrorMaker {
    public static final List<Class<?>> CONNECTOR_CLASSES =
        List.of(MirrorSourceConnector.class, MirrorHeartbeatConnector.class, MirrorCheckpointConnector.class);

    private static final ObjectMapper JSON = new ObjectMapper();

    private final HttpClient http = HttpClient.newHttpClient();
    private final Map<String, String> config;
    private Program program;

    public MirrorMaker(Map<String, String> config) {
        this.config = config;
    }

    public void start() {
        program = new Program("run", config);
    }

    public void stop() {
        if (program != null) {
            program.stop();
            program = null;
        }
    }

    /** {@link #stop} has waited. */
    public void awaitStop() { }

    public ConnectorStateInfo connectorStatus(SourceAndTarget flow, String connector) {
        try {
            return JSON.readValue(get(flow, connector, "status"), ConnectorStateInfo.class);
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    public void taskConfigs(SourceAndTarget flow, String connector, Callback<List<TaskInfo>> answered) {
        try {
            answered.onCompletion(null, JSON.readValue(get(flow, connector, "tasks"), new TypeReference<>() { }));
        } catch (IOException | InterruptedException e) {
            answered.onCompletion(e, null);
        }
    }

    private String get(SourceAndTarget flow, String connector, String what) throws IOException, InterruptedException {
        String name = URLEncoder.encode(flow + "." + connector, StandardCharsets.UTF_8).replace("+", "%20");
        URI uri = program.url().resolve("connectors/" + name + "/" + what);
        HttpResponse<String> answer = http.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() == 404) {
            throw new NotFoundException(answer.body());
        }
        if (answer.statusCode() != 200) {
            throw new IOException(uri + " answered " + answer.statusCode() + " " + answer.body());
        }
        return answer.body();
    }
}
