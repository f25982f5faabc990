package its;

import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One process of crosscurrent, with its file and its log in the folder of the running test. */
public final class Program {
    private static final Pattern URL = Pattern.compile("REST and metrics url=\"([^\"]+)\"");
    private static final Duration START_LIMIT = Duration.ofSeconds(60);
    private static final Duration STOP_LIMIT = Duration.ofSeconds(20);
    /** Of this JVM. */
    private static final AtomicInteger STARTED = new AtomicInteger();

    private final Process process;
    private final Path log;
    private final URI url;

    /** Starts {@code crosscurrent command FILE}, with a file of these properties, and waits for its REST. */
    public Program(String command, Map<String, String> config) {
        String name = command + "-" + STARTED.incrementAndGet();
        try {
            Path file = TestFolder.current().resolve(name + ".properties");
            log = TestFolder.current().resolve(name + ".log");
            Properties properties = new Properties();
            properties.putAll(config);
            try (OutputStream out = Files.newOutputStream(file)) {
                properties.store(out, null);
            }
            process = new ProcessBuilder(System.getProperty("crosscurrent.binary"), command, file.toString())
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
            Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
            url = awaitUrl();
        } catch (IOException e) {
            throw new IllegalStateException(name + " could not be started", e);
        }
    }

    private URI awaitUrl() throws IOException {
        Instant deadline = Instant.now().plus(START_LIMIT);
        while (true) {
            Matcher found = URL.matcher(Files.readString(log));
            if (found.find()) {
                return URI.create(found.group(1) + "/");
            }
            if (!process.isAlive() || Instant.now().isAfter(deadline)) {
                process.destroyForcibly();
                throw new IllegalStateException("no REST: " + Files.readString(log));
            }
            pause();
        }
    }

    private static void pause() {
        try {
            Thread.sleep(50);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Where its REST is, with a slash at the end. */
    public URI url() {
        return url;
    }

    /** Asks it to end, as a supervisor does, and waits until it has. */
    public void stop() {
        process.destroy();
        try {
            if (!process.waitFor(STOP_LIMIT.toSeconds(), TimeUnit.SECONDS)) {
                throw new IllegalStateException("did not end within " + STOP_LIMIT + ", see " + log);
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        } finally {
            process.destroyForcibly();
        }
    }
}
